// Screens and cameras: who shows what, and what must be seen of it. Works with every generation of the client class.
import { assert, measured, sleep, test, until } from './harness.mjs';
import { Link } from './link.mjs';
import { joinUnmuted, newCall, names, quiet } from './scenarios.mjs';

const LATE_MS = 2000; // a late joiner's first picture

// In each variant of signalling and locking.
export function showing(lab, label, options) {
	const named = (text, body, ms) => test(lab, `${label}: ${text}`, body, ms);
	return [
		() => named('a screen and a camera are seen by all, who hear on without loss', () => screenAndCamera(lab, label, options)),
		() => named('D26: screen, camera and voice that begin in the same millisecond, 5 times', () => glare(lab, options)),
		() => named('on `reconnect` a client whose path is gone has its media again within 1 s', () => restart(lab, label, options, 2500)),
		() => named('the same when the server has just offered a new path in vain', () => restart(lab, label, options, 3500)),
	];
}

// Once a generation.
export function presenting(lab, label, options) {
	const named = (text, body, ms) => test(lab, `${label}: ${text}`, body, ms);
	return [
		() => named('20 shares by four people in turn leave the m-lines of a viewer as they are', () => cycles(lab, options), 120000),
		() => named('D40: a second presenter waits for the first, and takes over at once when that one stops or leaves', () => takeOver(lab, options)),
		() => named('D36: of a screen in AV1 and VP8 each viewer gets what it can', () => twin(lab, options)),
		() => named('a screen in two layers follows the bandwidth of its viewer without a freeze', () => layers(lab, label, options), 120000),
		() => named('D39: a camera that is announced 200 ms after its track is seen', () => lateAnnouncement(lab, options)),
		() => named('lips and voice are in step by the browser\'s own estimate', () => lipSync(lab, label, options)),
	];
}

export function pathing(lab, label, options) {
	const named = (text, body, ms) => test(lab, `${label}: ${text}`, body, ms);
	return [
		() => named('a call heals after 12 s without network', () => outage(lab, label, options)),
		() => named('a client without UDP joins and shares over TCP', () => onlyTCP(lab, label, options)),
		() => named('a client with nothing but IPv6 joins and shares', () => onlyIPv6(lab, label, options)),
	];
}

const voiceOf = ({ inbound }, from) => inbound.find((line) => line.kind === 'audio' && line.from === from);
const pictureOf = ({ inbound }, from) => inbound.find((line) => line.kind === 'video' && line.from === from && line.fps > 0);

async function screenAndCamera(lab, label, options) {
	const call = newCall();
	const sessions = await joinUnmuted(lab, call, names(3), options);
	await lab.allHear(sessions);
	const before = await lab.do('stats', 'p2');
	await lab.do('share', 'p1');
	await lab.see(['p2', 'p3'], 'p1', sessions);
	await lab.do('showCamera', 'p2');
	await lab.see(['p1', 'p3'], 'p2', sessions, { screen: false });
	await lab.see(['p2', 'p3'], 'p1', sessions);
	const late = await lab.do('joinAndSee', 'p4', call, options, sessions.p1);
	assert(late.pictureMs !== null && late.pictureMs < LATE_MS, `the late joiner saw after ${late.pictureMs} ms`);
	measured(`${label}: late joiner: connected after ${Math.round(late.ms)} ms, first picture after ${Math.round(late.pictureMs)} ms`);
	await lab.see(['p4'], 'p1', { ...sessions, p4: late.sessionID });
	const after = await lab.do('stats', 'p2');
	for (const other of [sessions.p1, sessions.p3]) {
		const lost = voiceOf(after, other).lost - voiceOf(before, other).lost;
		assert(lost === 0, `${lost} packets of voice lost meanwhile`);
	}
	await quiet(lab, names(4));
}

async function glare(lab, options) {
	const call = newCall();
	for (let round = 1; round <= 5; round++) {
		const sessions = await lab.join(call, names(3), options);
		await lab.do('showTogether', 'p1', 'p2', 'p3');
		try {
			await lab.see(['p2', 'p3'], 'p1', sessions);
			await lab.see(['p1', 'p3'], 'p2', sessions, { screen: false });
			await lab.hears('p1', [sessions.p3]);
			await lab.hears('p2', [sessions.p3]);
			await quiet(lab, names(3));
		} catch (error) {
			throw new Error(`round ${round}: ${error.message}`);
		}
		for (const id of names(3)) await lab.do('leave', id);
	}
}

async function cycles(lab, options) {
	const sharers = names(4);
	const sessions = await lab.join(newCall(), names(5), options);
	let first;
	for (let round = 0; round < 20; round++) {
		const sharer = sharers[round % 4];
		await lab.do('share', sharer);
		await lab.see(names(5).filter((id) => id !== sharer), sharer, sessions);
		await lab.do('unshare', sharer);
		await until(`round ${round}: the picture ends`, async () => (await lab.do('look', 'p5')).length === 0);
		const { lines } = await lab.do('state', 'p5');
		first ??= lines;
		assert(lines === first, `${lines} m-lines after ${round + 1} shares, ${first} after the first`);
	}
	for (const id of sharers) {
		const { lines } = await lab.do('state', id);
		assert(lines <= first + 5, `${id}, who shared 5 times, has ${lines} m-lines`);
	}
	await quiet(lab, names(5));
}

async function takeOver(lab, options) {
	// In layers: who has seen a screen must be able to share so.
	const sessions = await lab.join(newCall(), names(4), { ...options, simulcast: true });
	await lab.do('share', 'p1');
	await lab.see(['p2', 'p3', 'p4'], 'p1', sessions);
	await lab.do('handOver', 'p1', 'p2');
	await lab.see(['p1', 'p3', 'p4'], 'p2', sessions);
	await lab.do('share', 'p3');
	await sleep(500);
	assert((await lab.do('look', 'p4')).length === 1, 'p4 gets two screens');
	await lab.see(['p1', 'p3', 'p4'], 'p2', sessions);
	await lab.do('unshare', 'p3');
	await lab.do('leave', 'p2');
	await lab.do('share', 'p3');
	await lab.see(['p1', 'p4'], 'p3', sessions);
	await until('one picture is left', async () => (await lab.do('look', 'p4')).length === 1);
	await quiet(lab, ['p1', 'p3', 'p4']);
}

async function twin(lab, options) {
	const call = newCall();
	const able = { ...options, av1Support: true };
	const sessions = { ...(await lab.join(call, ['p1', 'p2'], able)), ...(await lab.join(call, ['p3'], options)) };
	await lab.do('share', 'p1');
	await lab.see(['p2', 'p3'], 'p1', sessions, { ms: 10000 });
	const codec = async (id) => pictureOf(await lab.do('stats', id), sessions.p1)?.codec;
	await until('AV1 for who can', async () => (await codec('p2')) === 'video/AV1', 8000);
	assert((await codec('p3')) === 'video/VP8', `the other gets ${await codec('p3')}`);
	Object.assign(sessions, await lab.join(call, ['p4'], able), await lab.join(call, ['p5'], options));
	await lab.see(['p4', 'p5'], 'p1', sessions);
	assert((await codec('p4')) === 'video/AV1', `a late one who can AV1 gets ${await codec('p4')}`);
	assert((await codec('p5')) === 'video/VP8', `a late one who cannot gets ${await codec('p5')}`);
	await quiet(lab, names(5));
}

// This person's media go through a link of their own, from the next candidates that the server tells them.
async function linked(lab, id) {
	if (!lab.mediaPort) {
		await lab.join(newCall(), ['p0'], {});
		lab.mediaPort = (await lab.do('state', 'p0')).serverPort;
		await lab.do('leave', 'p0');
	}
	assert(lab.mediaPort, 'the server told no UDP candidate at 127.0.0.1');
	const link = await Link.open('127.0.0.1', lab.mediaPort);
	await lab.do('path', id, { link: link.port });
	return link;
}

async function layers(lab, label, options) {
	const link = await linked(lab, 'p2');
	try {
		const call = newCall();
		const sessions = await lab.join(call, ['p1'], { ...options, simulcast: true });
		Object.assign(sessions, await lab.join(call, ['p2', 'p3'], options));
		await lab.do('unmute', 'p3');
		await lab.do('share', 'p1', { width: 1280, height: 720 });
		await lab.see(['p2', 'p3'], 'p1', sessions, { width: 1280 });
		const layer = async () => (await lab.served(sessions.p2)).video.find(({ type }) => type === 'screen')?.layer;
		const reaches = async (wanted, ms) => {
			const begin = Date.now();
			await until(`layer ${wanted}; ${JSON.stringify(await lab.served(sessions.p2))}`, async () => (await layer()) === wanted, ms);
			return `${((Date.now() - begin) / 1000).toFixed(1)} s`;
		};
		const watch = lab.do('longestGap', 'p2', sessions.p1, 30000);
		const up = await reaches(1, 30000);
		await until('more than 12 pictures a second', async () => pictureOf(await lab.do('stats', 'p2'), sessions.p1)?.fps > 12, 8000);
		link.bps = 700000;
		const down = await reaches(0, 10000);
		await sleep(2000);
		link.bps = Infinity;
		const again = await reaches(1, 30000);
		const gap = await watch;
		const { plis, freezes, frozenMs } = pictureOf(await lab.do('stats', 'p2'), sessions.p1);
		const { switches } = (await lab.served(sessions.p2)).video[0];
		measured(`${label}: layer h after ${up}, l ${down} after the link narrowed to 700 kbit/s, h ${again} after it widened; ` +
			`${switches} switches, longest time without a picture ${Math.round(gap)} ms, the browser counts ${freezes} freezes of ` +
			`${Math.round(frozenMs)} ms in all, it asked ${plis} times for a key frame`);
		assert(gap < 1000, `no picture for ${Math.round(gap)} ms`);
		assert(plis < 5, `${plis} requests for a key frame`);
		await quiet(lab, names(3));
	} finally {
		link.close();
	}
}

async function lateAnnouncement(lab, options) {
	const sessions = await lab.join(newCall(), names(2), options);
	await lab.do('showCamera', 'p1', 200);
	await lab.see(['p2'], 'p1', sessions, { screen: false });
	lab.do('hideCamera', 'p1');
	await until('the picture stops', async () => !pictureOf(await lab.do('stats', 'p2'), sessions.p1));
	await lab.do('showCamera', 'p1', 200);
	await lab.see(['p2'], 'p1', sessions, { screen: false });
	await quiet(lab, names(2));
}

async function lipSync(lab, label, options) {
	const sessions = await joinUnmuted(lab, newCall(), names(2), options);
	await lab.do('showCamera', 'p1');
	await lab.see(['p2'], 'p1', sessions, { screen: false });
	let apart = null;
	await until(
		() => `voice and picture less than 100 ms apart: ${apart}`,
		async () => {
			const seen = await lab.do('stats', 'p2');
			const [voice, picture] = [voiceOf(seen, sessions.p1), pictureOf(seen, sessions.p1)];
			if (!voice?.playout || !picture?.playout) return false;
			apart = picture.playout - voice.playout;
			return Math.abs(apart) < 100;
		},
		15000,
		500
	);
	measured(`${label}: the picture is ${Math.round(Math.abs(apart))} ms ${apart > 0 ? 'ahead of' : 'behind'} the voice (browser's estimate)`);
}

// The old path is dead for a while, then a network is there whose packets come from elsewhere. After 3 s the server offers a new
// path by itself, and the client tries what it knows.
async function restart(lab, label, options, deadMs) {
	const before = await linked(lab, 'p1');
	let after;
	try {
		const sessions = await joinUnmuted(lab, newCall(), names(2), options);
		await lab.allHear(sessions);
		await lab.do('share', 'p1');
		await lab.see(['p2'], 'p1', sessions);
		before.cut = true;
		await sleep(deadMs);
		after = await linked(lab, 'p1');
		const seen = lab.do('more', 'p2', sessions.p1, 'video');
		const spoken = lab.do('more', 'p2', sessions.p1, 'audio');
		const heard = lab.do('more', 'p1', sessions.p2, 'audio');
		lab.bridge.reconnect(sessions.p1);
		const [seenMs, spokenMs, heardMs] = (await Promise.all([seen, spoken, heard])).map((ms) => ms && Math.round(ms));
		measured(`${label}: after \`reconnect\` the voice is back after ${heardMs} ms at the one and ${spokenMs} ms at the other, the screen after ${seenMs} ms`);
		for (const ms of [seenMs, spokenMs, heardMs]) assert(ms !== null && ms < 1000, `not within 1 s: ${ms} ms`);
		await lab.see(['p2'], 'p1', sessions);
		await quiet(lab, names(2));
	} finally {
		before.close();
		after?.close();
	}
}

async function outage(lab, label, options) {
	const link = await linked(lab, 'p1');
	try {
		const sessions = await joinUnmuted(lab, newCall(), names(2), options);
		await lab.allHear(sessions);
		await lab.do('share', 'p1');
		await lab.see(['p2'], 'p1', sessions);
		link.cut = true;
		await sleep(12000);
		link.cut = false;
		const healed = (await Promise.all([lab.do('more', 'p1', sessions.p2, 'audio'), lab.do('more', 'p2', sessions.p1, 'video')])).map(Math.round);
		measured(`${label}: after 12 s without network the voice is back after ${healed[0]} ms, the screen after ${healed[1]} ms`);
		await lab.see(['p2'], 'p1', sessions, { ms: 8000 });
		await lab.allHear(sessions);
		await quiet(lab, names(2));
	} finally {
		link.close();
	}
}

// p1 takes only candidates of one kind, and must come through one of them.
async function limited(lab, label, options, only) {
	await lab.do('path', 'p1', { only });
	const sessions = await joinUnmuted(lab, newCall(), names(3), options);
	await lab.allHear(sessions);
	await lab.do('share', 'p1');
	await lab.see(['p2', 'p3'], 'p1', sessions);
	await lab.do('showCamera', 'p2');
	await lab.see(['p1', 'p3'], 'p2', sessions, { screen: false });
	const { pair } = await lab.do('stats', 'p1');
	const { path } = await lab.served(sessions.p1);
	measured(`${label}: ${only} alone: ${pair.protocol} to ${pair.address}, from ${path.protocol} ${path.address} by the server`);
	await lab.allHear(sessions);
	await quiet(lab, names(3));
	return { pair, path };
}

async function onlyTCP(lab, label, options) {
	const { pair, path } = await limited(lab, label, options, 'tcp');
	assert(pair.protocol === 'tcp' && path.protocol === 'tcp', `the path is ${pair.protocol}, ${path.protocol}`);
}

async function onlyIPv6(lab, label, options) {
	if (!process.env.HOST?.includes(':')) {
		measured(`${label}: this machine or this server has no IPv6`);
		return;
	}
	const { path } = await limited(lab, label, options, 'IPv6');
	assert(path.address.includes(':'), `the path is ${path.address}`);
}
