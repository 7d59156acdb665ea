// The demo program: one bridge to Sluice, one page. Started by tools/demo/start.
// environment: API_PORT (8045) or SLUICE_API (URL), DEMO_PORT (8050, or the next free one)
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Bridge, newID } from './bridge.mjs';
import { bundle } from './bundle.mjs';
import { Relay } from './relay.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const out = fileURLToPath(new URL('../../build/demo/', import.meta.url));
const api = process.env.SLUICE_API ?? `http://127.0.0.1:${process.env.API_PORT ?? 8045}`;
const firstPort = Number(process.env.DEMO_PORT ?? 8050);
const PORTS_TRIED = 20;

function fail(status, ...lines) {
	console.error(lines.join('\n'));
	process.exit(status);
}

// Who we are towards Sluice, the same at each start, so that its store keeps one client for the demo.
function credentials() {
	const file = join(out, 'client.json');
	try {
		return JSON.parse(readFileSync(file, 'utf8'));
	} catch {
		const fresh = { clientID: `demo-${newID().slice(0, 8)}`, authKey: randomBytes(24).toString('base64url') };
		writeFileSync(file, JSON.stringify(fresh), { mode: 0o600 });
		return fresh;
	}
}

async function connect() {
	const bridge = new Bridge({ api, ...credentials() });
	try {
		await bridge.connect();
		return bridge;
	} catch (error) {
		bridge.stop();
		const port = new URL(api).port;
		return fail(
			69,
			`Sluice does not answer at ${api}: ${error.cause?.message ?? error.message}`,
			'Start it in another terminal, then try again:',
			`  make run${port === '8045' ? '' : ` API_PORT=${port}`}`
		);
	}
}

async function listen(relay) {
	for (let port = firstPort; port < firstPort + PORTS_TRIED; port++) {
		try {
			return await relay.listen(port);
		} catch (error) {
			if (error.code !== 'EADDRINUSE') throw error;
		}
	}
	return fail(69, `Ports ${firstPort} to ${firstPort + PORTS_TRIED - 1} are all in use; try DEMO_PORT=9000 make demo`);
}

try {
	mkdirSync(out, { recursive: true });
} catch (error) {
	fail(77, `Cannot write to build/: ${error.message}`);
}
await bundle(join(here, 'page/app.mjs'), join(out, 'app.js'));
const bridge = await connect();
const relay = new Relay(bridge, [join(here, 'page'), out]);
const url = `http://127.0.0.1:${await listen(relay)}/`;
bridge.on('down', () => console.log('Sluice went away; people who are in a call go on hearing each other'));
bridge.on('up', () => console.log('Sluice is back'));
console.log(`
The demo page is ready.
  open     ${url}     in two tabs or windows, join the same call, talk
  through  Sluice ${bridge.version} at ${api}
  stop     Ctrl-C
`);
console.log(`demo: ${url}`);

for (const signal of ['SIGINT', 'SIGTERM']) {
	process.on(signal, () => {
		relay.stop();
		bridge.stop();
		setTimeout(() => process.exit(0), 100).unref();
	});
}
