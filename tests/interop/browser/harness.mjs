// What the browser tests stand on: the bridge and relay against the server named by SLUICE_API, one Chromium for all
// tests, a page a generation of the client, TAP, and waiting for conditions.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { Bridge } from '../../../tools/demo/bridge.mjs';
import { bundle } from '../../../tools/demo/bundle.mjs';
import { Relay } from '../../../tools/demo/relay.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const TEST_MS = 60000;

export const FLAGS = [
	'--no-sandbox',
	'--use-fake-ui-for-media-stream',
	'--use-fake-device-for-media-stream',
	'--autoplay-policy=no-user-gesture-required',
	'--disable-background-networking',
	'--disable-component-update',
	'--disable-sync',
	'--no-first-run',
	'--disable-dev-shm-usage',
	'--disable-gpu',
	'--disable-quic',
	'--allow-loopback-in-peer-connection', // or there would be no candidate ::1
];

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Ask until the answer is truthy. what: text, or a function that gives it at the end.
export async function until(what, ask, ms = 5000, every = 100) {
	const deadline = Date.now() + ms;
	for (;;) {
		const answer = await ask();
		if (answer) return answer;
		if (Date.now() > deadline) {
			throw new Error(`not within ${ms} ms: ${typeof what === 'function' ? what() : what}`);
		}
		await sleep(every);
	}
}

export function assert(condition, text) {
	if (!condition) throw new Error(text);
}

// --- TAP -----------------------------------------------------------------------------------------
const pattern = new RegExp(process.env.BROWSER_TEST ?? '', 'i');
const counts = { run: 0, failed: 0 };

// A figure for whoever reads the test's output.
export const measured = (text) => console.log(`# ${text}`);

export function skip(name, reason) {
	if (pattern.test(name)) console.log(`ok ${++counts.run} - ${name} # SKIP ${reason}`);
}

export async function test(lab, name, body, ms = TEST_MS) {
	if (!pattern.test(name)) return;
	const number = ++counts.run;
	const begin = Date.now();
	let timer;
	const late = new Promise((_resolve, reject) => {
		timer = setTimeout(() => reject(new Error(`not finished within ${ms / 1000} s`)), ms);
	});
	lab.relay.closed = [];
	lab.relay.oddities.length = 0;
	try {
		await Promise.race([body(lab), late]);
		assert(lab.relay.oddities.length === 0, `the server sent: ${lab.relay.oddities.join('; ')}`);
		assert(lab.relay.closed.length === 0, `the server closed ${lab.relay.closed.length} session(s)`);
		console.log(`ok ${number} - ${name}`);
	} catch (error) {
		counts.failed++;
		console.log(`not ok ${number} - ${name}`);
		console.log(`# ${error.message.replaceAll('\n', '\n# ')}`);
		console.error(error.stack);
	} finally {
		clearTimeout(timer);
		await lab.page.evaluate(() => window.lab.leaveAll()).catch(() => {});
		console.error(`${name}: ${((Date.now() - begin) / 1000).toFixed(1)} s`);
	}
}

export const result = () => (counts.run > 0 && counts.failed === 0 ? 0 : 1);

// --- the microphone ------------------------------------------------------------------------------
// 3 s of a tone, 3 s of silence; Chromium plays it over and over as the microphone.
export const MIC_PHASE_MS = 3000;
function micFile() {
	const rate = 48000;
	const samples = rate * 6;
	const wav = Buffer.alloc(44 + samples * 2);
	wav.write('RIFF', 0);
	wav.writeUInt32LE(wav.length - 8, 4);
	wav.write('WAVEfmt ', 8);
	wav.writeUInt32LE(16, 16);
	wav.writeUInt16LE(1, 20); // PCM
	wav.writeUInt16LE(1, 22); // channels
	wav.writeUInt32LE(rate, 24);
	wav.writeUInt32LE(rate * 2, 28);
	wav.writeUInt16LE(2, 32);
	wav.writeUInt16LE(16, 34);
	wav.write('data', 36);
	wav.writeUInt32LE(samples * 2, 40);
	for (let i = 0; i < rate * 3; i++) {
		wav.writeInt16LE(Math.round(12000 * Math.sin((2 * Math.PI * 440 * i) / rate)), 44 + 2 * i);
	}
	return wav;
}

// --- a lab ---------------------------------------------------------------------------------------
export class Lab {
	// library: folder of another build of the client library than npm's, or undefined
	static async open(api, library) {
		const lab = new Lab();
		lab.folder = await mkdtemp(join(tmpdir(), 'sluice-browser-'));
		await bundle(here + 'lab.mjs', join(lab.folder, 'lab.js'), library);
		await writeFile(join(lab.folder, 'index.html'), '<!doctype html><title>lab</title><script src="lab.js"></script>');
		await writeFile(join(lab.folder, 'mic.wav'), micFile());
		lab.bridge = new Bridge({ api, clientID: `it${process.pid}${Date.now()}` });
		lab.version = await lab.bridge.connect();
		lab.relay = new Relay(lab.bridge, [lab.folder]);
		const port = await lab.relay.listen(0);
		lab.browser = await chromium.launch({
			executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
			ignoreDefaultArgs: ['--mute-audio'],
			args: [...FLAGS, `--use-file-for-fake-audio-capture=${join(lab.folder, 'mic.wav')}`],
		});
		lab.page = await lab.browser.newPage();
		lab.page.on('pageerror', (error) => console.error(`page: ${error.message}`));
		await lab.page.goto(`http://127.0.0.1:${port}/`);
		return lab;
	}

	async close() {
		await this.browser?.close();
		this.relay?.stop();
		this.bridge?.stop();
		if (this.folder) await rm(this.folder, { recursive: true, force: true });
	}

	// Call a function of window.lab.
	do(verb, ...args) {
		return this.page.evaluate(([name, list]) => window.lab[name](...list), [verb, args]);
	}

	// Join people into a call; returns id -> session id.
	async join(call, ids, options, verb = 'join') {
		const sessions = {};
		await Promise.all(
			ids.map(async (id) => {
				const { sessionID, ms } = await this.do(verb, id, call, options);
				assert(ms < 5000, `${id} connected after ${Math.round(ms)} ms`);
				sessions[id] = sessionID;
			})
		);
		return sessions;
	}

	// For each sender: packets a second, energy gained and loss at this listener, over `ms`.
	async measure(listener, ms = 1000) {
		const before = await this.do('stats', listener);
		await sleep(ms);
		const after = await this.do('stats', listener);
		const seconds = (after.at - before.at) / 1000;
		const bySender = {};
		for (const line of after.inbound.filter(({ kind }) => kind === 'audio')) {
			const old = before.inbound.find(({ ssrc }) => ssrc === line.ssrc) ?? { packets: 0, energy: 0, lost: 0 };
			const rate = (line.packets - old.packets) / seconds;
			const known = bySender[line.from];
			if (known && known.rate >= rate) continue;
			bySender[line.from] = { ...line, rate, gained: line.energy - old.energy, newlyLost: line.lost - old.lost };
		}
		return bySender;
	}

	// Within `ms` the listener gets 50 packets a second and energy from each of these sessions.
	async hears(listener, sessions, ms = 6000) {
		let heard = [];
		await until(
			() => `${listener} hears ${sessions.length} voices; [packets/s, energy] are ${JSON.stringify(heard)}`,
			async () => {
				const voices = await this.measure(listener, 700);
				heard = sessions.map((id) => [Math.round(voices[id]?.rate ?? 0), voices[id]?.gained ?? 0]);
				return heard.every(([rate, gained]) => rate > 40 && rate < 62 && gained > 1e-5);
			},
			ms
		);
	}

	// Everybody hears everybody else.
	async allHear(sessions, ms) {
		await Promise.all(
			Object.keys(sessions).map((id) =>
				this.hears(
					id,
					Object.entries(sessions)
						.filter(([other]) => other !== id)
						.map(([, sessionID]) => sessionID),
					ms
				)
			)
		);
	}

	// Within `ms` each of these people decodes pictures of that sender, in that sender's colour.
	// A screen comes in its size, a camera smaller when there is little bandwidth.
	async see(viewers, sender, sessions, { ms = 5000, width = 640, screen = true } = {}) {
		const colour = await this.do('colourOf', sender);
		const from = sessions[sender];
		const begin = Date.now();
		const decoded = async (viewer) => {
			const { inbound } = await this.do('stats', viewer);
			return inbound.find((line) => line.kind === 'video' && line.from === from && line.fps > 0);
		};
		await Promise.all(
			viewers.map(async (viewer) => {
				let last;
				const what = () => `${viewer} sees ${sender} (hue ${colour}, width ${width}): ${JSON.stringify(last)}`;
				const before = await until(what, async () => (last = await decoded(viewer)), ms);
				await until(
					what,
					async () => {
						last = (await decoded(viewer)) ?? last;
						last.shows = (await this.do('look', viewer)).filter((one) => one.from === from);
						const hues = last.shows.map((one) => one.colour).filter((one) => one !== null);
						return (
							last.frames >= before.frames + 3 &&
							(screen ? last.width === width : last.width > 0 && last.width <= width) &&
							Math.abs(last.height - (last.width * 9) / 16) < 2 &&
							hues.some((hue) => Math.abs(((hue - colour + 540) % 360) - 180) < 12)
						);
					},
					Math.max(ms - (Date.now() - begin), 2000)
				);
			})
		);
	}

	// What the server says it sends to one session.
	async served(sessionID) {
		const { callID } = this.relay.people.get(sessionID);
		const { status, json, text } = await this.bridge.request('GET', `/calls/${callID}/sessions/${sessionID}/media`);
		assert(status === 200, `media of a session: ${status} ${text}`);
		return json;
	}

	// Each line carries the tone of the person whose session its msid names.
	async tonesMatch(listener, sessions) {
		const heard = await this.do('listen', listener);
		for (const [id, sessionID] of Object.entries(sessions)) {
			if (id === listener) continue;
			const hz = await this.do('hzOf', id);
			const lines = heard.filter(({ from }) => from === sessionID);
			assert(
				lines.some((line) => Math.abs(line.hz - hz) < 30),
				`${listener} should hear ${hz} Hz from ${id}, hears ${JSON.stringify(lines)}`
			);
		}
	}
}
