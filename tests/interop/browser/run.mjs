// run.mjs GENERATION: the browser tests with one generation of the official client class against SLUICE_API; TAP.
//   N: npm's @mattermost/calls-common      M, V: what CALLS_LIBRARY names, a folder with that library's index.js
// environment: SLUICE_API, BROWSER_TEST (regular expression on test names), CHROMIUM,
//              SERVER_LOG and CP_PID of a server started by run-both (without them nothing is killed)
import { readFile } from 'node:fs/promises';
import { Lab, result, skip, until } from './harness.mjs';
import { controlPlaneDies, living, talking } from './scenarios.mjs';
import { pathing, presenting, showing } from './video.mjs';

const generation = process.argv[2] ?? 'N';
const { SLUICE_API: api, CALLS_LIBRARY: library, SERVER_LOG: log, CP_PID: pid } = process.env;
if (!api || !/^[NMV]$/.test(generation)) {
	console.error('usage: SLUICE_API=http://127.0.0.1:8045 run.mjs N|M|V');
	process.exit(64);
}

// N has neither; the others are deployed with both.
const usual = generation === 'N' ? {} : { dcSignaling: true, dcLocking: true };
const variants = generation === 'N' ? [{}] : [];
if (generation !== 'N') {
	for (const dcSignaling of [true, false]) {
		for (const dcLocking of [true, false]) variants.push({ dcSignaling, dcLocking });
	}
}
const label = ({ dcSignaling, dcLocking }) =>
	generation === 'N' ? 'N' : `${generation}, signalling ${dcSignaling ? 'DC' : 'WS'}, lock ${dcLocking ? 'on' : 'off'}`;

// The pid of now: an earlier run may have killed the first one.
async function killControlPlane() {
	const restarts = async () => [...(await readFile(log, 'utf8')).matchAll(/^restarted: cp pid=(\d+)/gm)];
	const before = await restarts();
	process.kill(Number(before.at(-1)?.[1] ?? pid), 'SIGKILL');
	await until('the control plane is started again', async () => (await restarts()).length > before.length, 15000);
}

const lab = await Lab.open(api, library);
process.on('SIGTERM', () => lab.close().finally(() => process.exit(143)));
try {
	for (const options of variants) {
		for (const scenario of talking(lab, label(options), options)) await scenario();
		for (const scenario of showing(lab, label(options), options)) await scenario();
	}
	for (const group of [living, presenting, pathing]) {
		for (const scenario of group(lab, label(usual), usual)) await scenario();
	}
	if (log && pid) await controlPlaneDies(lab, label(usual), usual, killControlPlane);
	else skip(`${label(usual)}: the control plane is killed`, 'the server was not started by run-both');
} finally {
	await lab.close();
}
process.exit(result());
