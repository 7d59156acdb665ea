// Bundle one page script with the official client library. `library` names another build of that library than npm's:
// a folder with its index.js.
import { fileURLToPath } from 'node:url';
import { build, stop } from 'esbuild';

const here = fileURLToPath(new URL('.', import.meta.url));

export async function bundle(entry, outfile, library) {
	await build({
		entryPoints: [entry],
		outfile,
		bundle: true,
		format: 'iife',
		platform: 'browser',
		target: 'es2020',
		logLevel: 'error',
		nodePaths: [here + 'node_modules'],
		alias: library ? { '@mattermost/calls-common': library } : {},
	});
	await stop(); // its service would run as long as we do
}
