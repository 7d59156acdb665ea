// Screens and cameras: who shows what, and what must be seen of it. Works with every generation of the client class.
import { assert, measured, test } from './harness.mjs';
import { joinUnmuted, newCall, names, quiet } from './scenarios.mjs';

const LATE_MS = 2000; // a late joiner's first picture

// In each variant of signalling and locking.
export function showing(lab, label, options) {
	const named = (text, body, ms) => test(lab, `${label}: ${text}`, body, ms);
	return [
		() => named('a screen and a camera are seen by all, who hear on without loss', () => screenAndCamera(lab, label, options)),
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
