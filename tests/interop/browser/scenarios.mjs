// What people do in calls, and what must come of it. Each scenario works with every generation of the client class.
import { assert, MIC_PHASE_MS, sleep, test, until } from './harness.mjs';

let calls = 0;
export const newCall = () => `call-${process.pid}-${++calls}`;
export const names = (n, from = 1) => Array.from({ length: n }, (_, i) => `p${from + i}`);

export async function joinUnmuted(lab, call, ids, options) {
	const sessions = await lab.join(call, ids, options);
	await Promise.all(ids.map((id) => lab.do('unmute', id)));
	return sessions;
}

export async function quiet(lab, ids) {
	for (const id of ids) {
		const { connection, channel, closed, troubles } = await lab.do('state', id);
		assert(connection === 'connected' && closed === null, `${id} is ${connection}, ${closed}`);
		assert(channel === 'open', `${id}'s data channel is ${channel}`);
		assert(troubles.length === 0, `${id}: ${troubles.join('; ')}`);
	}
}

export function talking(lab, label, options) {
	const named = (text, body, ms) => test(lab, `${label}: ${text}`, body, ms);
	return [
		() => named('two people hear each other, with reports from the server', () => twoPeople(lab, options)),
		() => named('mute stops packets within 1 s, unmute resumes without a new stream', () => muting(lab, options)),
		() => named('a third who comes late hears both and is heard', () => lateJoiner(lab, options)),
		() => named('four who talk as soon as they are connected are heard by all', () => joinTalking(lab, options)),
		() => named('D26: two who unmute in the same millisecond, 20 times, are heard by all', () => glare(lab, options), 180000),
	];
}

async function twoPeople(lab, options) {
	const sessions = await joinUnmuted(lab, newCall(), ['p1', 'p2'], options);
	await lab.allHear(sessions);
	for (const [me, other] of [
		['p1', 'p2'],
		['p2', 'p1'],
	]) {
		await lab.tonesMatch(me, sessions);
		const voice = (await lab.measure(me, 2000))[sessions[other]];
		assert(voice.rate > 45 && voice.rate < 55, `${me} gets ${voice.rate} packets a second`);
		assert(voice.newlyLost === 0, `${me} lost ${voice.newlyLost}`);
		assert(voice.jitter < 0.03, `jitter ${voice.jitter}`);
		const { streams } = await lab.do('state', me);
		assert(streams === 1, `${me} got ${streams} stream events`);
		await until(`${me}: a sender report covers the voice`, async () =>
			(await lab.do('stats', me)).inbound.some(({ reported }) => reported > 0)
		);
		await until(`${me}: a receiver report covers my voice`, async () =>
			(await lab.do('stats', me)).outbound.some(({ reportedLost }) => reportedLost === 0)
		);
		await until(`${me}: pongs give a round-trip time`, async () => {
			const { rtt } = await lab.do('state', me);
			return rtt > 0 && rtt < 0.2;
		});
	}
	await quiet(lab, ['p1', 'p2']);
}

async function muting(lab, options) {
	const sessions = await joinUnmuted(lab, newCall(), ['p1', 'p2'], options);
	await lab.hears('p2', [sessions.p1]);
	const { streams } = await lab.do('state', 'p2');
	for (let round = 0; round < 2; round++) {
		await lab.do('mute', 'p1');
		await sleep(1000);
		const { rate } = (await lab.measure('p2', 1000))[sessions.p1];
		assert(rate === 0, `muted, yet ${rate} packets a second`);
		await lab.do('unmute', 'p1');
		await lab.hears('p2', [sessions.p1]);
	}
	const now = await lab.do('state', 'p2');
	assert(now.streams === streams, `${now.streams - streams} new stream events`);
	const { lost } = (await lab.measure('p2', 100))[sessions.p1];
	assert(lost === 0, `the pauses count as ${lost} lost packets`);
}

async function lateJoiner(lab, options) {
	const call = newCall();
	const sessions = await joinUnmuted(lab, call, ['p1', 'p2'], options);
	await lab.allHear(sessions);
	Object.assign(sessions, await lab.join(call, ['p3'], options));
	await lab.hears('p3', [sessions.p1, sessions.p2]);
	await lab.do('unmute', 'p3');
	await lab.allHear(sessions);
	for (const id of ['p1', 'p2', 'p3']) await lab.tonesMatch(id, sessions);
	await quiet(lab, ['p1', 'p2', 'p3']);
}

// One after the other, each while the server tells the newcomer of the others and them of the newcomer.
async function joinTalking(lab, options) {
	for (let round = 1; round <= 5; round++) {
		const call = newCall();
		const sessions = {};
		for (const id of names(4)) {
			Object.assign(sessions, await lab.join(call, [id], options, 'joinTalking'));
			await sleep(round * 60);
		}
		try {
			await lab.allHear(sessions, 8000);
		} catch (error) {
			throw new Error(`round ${round}: ${error.message}`);
		}
		for (const id of names(4)) await lab.do('leave', id);
	}
}

async function glare(lab, options) {
	const call = newCall();
	const listener = await lab.join(call, ['p0'], options);
	for (let round = 1; round <= 20; round++) {
		const pair = names(2, 1 + 2 * (round % 4));
		const sessions = await lab.join(call, pair, options);
		await lab.do('unmuteTogether', pair);
		try {
			await lab.allHear({ ...sessions });
			await lab.hears('p0', Object.values(sessions));
		} catch (error) {
			throw new Error(`round ${round}: ${error.message}`);
		}
		for (const id of pair) await lab.do('leave', id);
	}
	await quiet(lab, Object.keys(listener));
}

export function living(lab, label, options) {
	const named = (text, body, ms) => test(lab, `${label}: ${text}`, body, ms);
	return [
		() => named('D42: 12 joins and leaves in a row leave the others undisturbed', () => churn(lab, options)),
		() => named('8 people all hear all', () => eight(lab, options)),
		() => named('voice on and off follow a microphone that talks 3 s of 6', () => voiceEvents(lab, options)),
		() => named('D21, D25: messages that no client sends leave the session alone', () => oddMessages(lab, options)),
		() => named('D13: after the plugin lost its WebSocket all goes on', () => socketLost(lab, options)),
	];
}

async function churn(lab, options) {
	const call = newCall();
	const sessions = await joinUnmuted(lab, call, ['p1', 'p2'], options);
	await lab.allHear(sessions);
	const before = await lab.do('stats', 'p1');
	const old = before.inbound.find(({ from }) => from === sessions.p2);
	let most = 0;
	for (let round = 0; round < 12; round++) {
		const id = `p${3 + (round % 2)}`;
		const guest = await joinUnmuted(lab, call, [id], options);
		await lab.hears('p1', [guest[id]]);
		await lab.do('leave', id);
		most = Math.max(most, (await lab.do('state', 'p1')).lines);
	}
	const after = await lab.do('stats', 'p1');
	const voice = after.inbound.find(({ ssrc }) => ssrc === old.ssrc);
	const rate = (voice.packets - old.packets) / ((after.at - before.at) / 1000);
	assert(voice.lost === old.lost, `${voice.lost - old.lost} packets lost`);
	assert(rate > 48 && rate < 52, `${rate.toFixed(1)} packets a second over the whole time`);
	assert(most <= 5, `${most} m-lines after 12 guests of whom one was there at a time`);
	await quiet(lab, ['p1', 'p2']);
}

async function eight(lab, options) {
	const ids = names(8);
	const sessions = await joinUnmuted(lab, newCall(), ids, options);
	await lab.allHear(sessions, 25000);
	await lab.tonesMatch('p1', sessions);
	await lab.tonesMatch('p8', sessions);
	await quiet(lab, ids);
}

async function voiceEvents(lab, options) {
	const sessions = await lab.join(newCall(), ['p1', 'p2'], options);
	lab.relay.voiceLog.length = 0;
	await sleep(1500);
	assert(lab.relay.voiceLog.length === 0, 'a voice event although all are muted');
	await lab.do('unmute', 'p1', 'mic');
	const mine = () => lab.relay.voiceLog.filter(({ sessionID }) => sessionID === sessions.p1);
	const next = (on, after, ms) =>
		until(`voice ${on ? 'on' : 'off'}`, () => mine().find((event) => event.on === on && event.at > after), ms, 20);
	const first = await next(true, 0, 2 * MIC_PHASE_MS + 2000);
	const off = await next(false, first.at, MIC_PHASE_MS + 4000);
	const on = await next(true, off.at, MIC_PHASE_MS + 2000);
	assert(off.at - first.at > 1900, `off ${off.at - first.at} ms after on`);
	assert(on.at - off.at < MIC_PHASE_MS + 500, `silent for ${on.at - off.at} ms of 3000`);
	const events = mine();
	assert(
		events.every(({ on: isOn }, i) => i === 0 || isOn !== events[i - 1].on),
		'on and off do not alternate'
	);
	await lab.do('mute', 'p1');
	await next(false, on.at, 1000);
	assert(
		lab.relay.voiceLog.every(({ sessionID }) => sessionID === sessions.p1),
		'a voice event for the one who is muted'
	);
}

async function oddMessages(lab, options) {
	const sessions = await joinUnmuted(lab, newCall(), ['p1', 'p2'], options);
	await lab.allHear(sessions);
	const before = await lab.do('stats', 'p2');
	await lab.do('channelSend', 'p1', [8]); // unlock without lock
	await lab.do('channelSend', 'p1', 'ping'); // as the oldest clients do
	await lab.do('channelSend', 'p1', [42]);
	await lab.do('channelSend', 'p1', []);
	await lab.do('channelSend', 'p1', [0xc1, 0xff, 0xdf]);
	await lab.do('relaySend', 'p1', 'ice', `{"candidate":"${'x'.repeat(1000 * 1000)}","sdpMid":"0"}`);
	await lab.do('relaySend', 'p1', 'ice', '{');
	lab.bridge.rtc(sessions.p1, 2, '{"type":"offer","sdp":"garbage"}');
	lab.bridge.rtc(sessions.p1, 2, '{"type":"answer","sdp":"v=0\\r\\n"}');
	lab.bridge.rtc(sessions.p1, 2, 'not json');
	lab.bridge.rtc(sessions.p1, 99, 'x');
	lab.bridge.rtc('nobody', 3);
	await sleep(1500);
	await lab.allHear(sessions);
	const after = await lab.do('stats', 'p2');
	const [old, voice] = [before, after].map(({ inbound }) => inbound.find(({ from }) => from === sessions.p1));
	assert(voice.lost === old.lost, `${voice.lost - old.lost} packets lost`);
	await quiet(lab, ['p1', 'p2']);
	Object.assign(sessions, await joinUnmuted(lab, `call-${process.pid}-${calls}`, ['p3'], options));
	await lab.allHear(sessions);
}

// The plugin binds no session again, yet the server's offers must find their way.
async function socketLost(lab, options) {
	const call = newCall();
	const sessions = await joinUnmuted(lab, call, ['p1', 'p2'], options);
	await lab.allHear(sessions);
	const before = await lab.do('stats', 'p1');
	lab.bridge.drop();
	await until('the bridge is connected again', () => lab.bridge.isUp);
	Object.assign(sessions, await joinUnmuted(lab, call, ['p3'], options));
	await lab.allHear(sessions);
	const after = await lab.do('stats', 'p1');
	const [old, voice] = [before, after].map(({ inbound }) => inbound.find(({ from }) => from === sessions.p2));
	assert(voice.lost === old.lost, `${voice.lost - old.lost} packets lost`);
	await lab.do('mute', 'p3');
	await lab.do('unmute', 'p3');
	await lab.hears('p1', [sessions.p3]);
	await quiet(lab, ['p1', 'p2', 'p3']);
}

// kill: ends the control plane at once and resolves when the server serves again.
export function controlPlaneDies(lab, label, options, kill) {
	const call = newCall();
	return test(lab, `${label}: media goes on without one missing packet while the control plane is killed`, async () => {
		const sessions = await joinUnmuted(lab, call, ['p1', 'p2', 'p3'], options);
		await lab.allHear(sessions);
		const ids = Object.keys(sessions);
		const before = await Promise.all(ids.map((id) => lab.do('stats', id)));
		await kill();
		await until('the bridge is connected again', () => lab.bridge.isUp, 15000);
		await sleep(2000);
		const after = await Promise.all(ids.map((id) => lab.do('stats', id)));
		ids.forEach((id, i) => {
			const seconds = (after[i].at - before[i].at) / 1000;
			for (const old of before[i].inbound.filter(({ kind }) => kind === 'audio')) {
				const voice = after[i].inbound.find(({ ssrc }) => ssrc === old.ssrc);
				const rate = (voice.packets - old.packets) / seconds;
				assert(voice.lost === old.lost, `${id} misses ${voice.lost - old.lost} packets`);
				assert(rate > 48 && rate < 52, `${id} got ${rate.toFixed(1)} packets a second`);
			}
		});
		for (const id of ids) {
			const { connection, closed } = await lab.do('state', id);
			assert(connection === 'connected' && closed === null, `${id} is ${connection}, ${closed}`);
		}
		const late = await lab.join(call, ['p4'], options);
		await lab.hears('p4', Object.values(sessions), 10000);
		await lab.do('unmute', 'p4');
		for (const id of ids) await lab.hears(id, [late.p4], 15000);
	});
}
