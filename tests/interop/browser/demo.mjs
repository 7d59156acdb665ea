// The demo page as three people use it; TAP from test 2 on. environment: DEMO_URL, CP_PID, DEMO_PICTURE
import { chromium } from 'playwright-core';
import { assert, FLAGS, sleep, until } from './harness.mjs';

const { DEMO_URL: url, CP_PID: controlPlane, DEMO_PICTURE: picture } = process.env;
const NAMES = ['Ada Lovelace', 'Grace Hopper', 'Alan Turing'];
let number = 1;
let failed = 0;

async function test(name, body) {
	number++;
	try {
		await body();
		console.log(`ok ${number} - ${name}`);
	} catch (error) {
		failed++;
		console.log(`not ok ${number} - ${name}\n# ${error.message.replaceAll('\n', '\n# ')}`);
	}
}

const browser = await chromium.launch({
	executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
	ignoreDefaultArgs: ['--mute-audio'],
	args: FLAGS,
});
const errors = [];

async function open(name, mic = 'tone', flags = {}) {
	const context = await browser.newContext({ viewport: { width: 1280, height: 760 }, ...flags });
	const page = await context.newPage();
	page.on('pageerror', (error) => errors.push(error.message));
	await page.goto(`${url}?picture=test&call=stand-up&name=${encodeURIComponent(name)}&mic=${mic}`);
	return page;
}

const text = (page, selector) => page.locator(selector).allInnerTexts();
const statusOf = async (page, name) =>
	(await page.locator('.person', { hasText: name }).locator('.how').innerText().catch(() => '')) || 'absent';

const pages = [];
await test('three people join the same call and see each other', async () => {
	for (const name of NAMES) {
		const page = await open(name);
		await page.click('#join-button');
		await page.waitForSelector('#room:not([hidden])', { timeout: 15000 });
		pages.push(page);
	}
	for (const page of pages) {
		await until('three tiles', async () => (await text(page, '.who')).sort().join() === [...NAMES].sort().join());
	}
});

await test('voice events light up who talks', async () => {
	await until('Grace talks, for Ada', async () => (await statusOf(pages[0], NAMES[1])) === 'talking', 10000, 50);
	await until('Ada talks, for Alan', async () => (await statusOf(pages[2], NAMES[0])) === 'talking', 10000, 50);
});

await test('statistics show both streams growing without loss, codec and encryption', async () => {
	const packets = async (name) => {
		const row = (await text(pages[0], '#streams li')).find((line) => line.includes(name)) ?? '';
		assert(!row || / 0 lost/.test(row), row);
		return Number(row.match(/([\d,]+) packets/)?.[1].replace(',', '') ?? 0);
	};
	for (const name of NAMES.slice(1)) {
		const before = await until(`a stream from ${name}`, () => packets(name), 8000);
		await until(`more from ${name}`, async () => (await packets(name)) > before + 40, 5000);
	}
	const [path] = await text(pages[0], '#path');
	assert(/opus 48 kHz/i.test(path) && /DTLS 1\.2/.test(path) && /AES/.test(path), path);
	await until('a round trip', async () => /[\d.]+ ms there and back/.test((await text(pages[0], '#path'))[0]), 5000);
});

const plays = (page, selector) =>
	page.evaluate((which) => {
		const video = document.querySelector(which);
		return video && !video.closest('[hidden]') ? video.getVideoPlaybackQuality().totalVideoFrames : 0;
	}, selector);

await test('a shared screen and a camera play at the others, with layer and bitrate for each viewer', async () => {
	await pages[1].click('#share');
	for (const page of [pages[0], pages[2]]) {
		const before = await until('the screen plays', () => plays(page, '#screen-video'), 8000);
		await until('it goes on', async () => (await plays(page, '#screen-video')) > before + 5);
	}
	await pages[2].click('#camera');
	for (const page of [pages[0], pages[1]]) await until('the camera plays', () => plays(page, '.person.filmed video'), 8000);
	const rows = () => text(pages[0], '#pictures li');
	const has = (all, viewer, what) => all.some((row) => row.includes(`${viewer} ← ${what}`) && /\d+(\.\d)? [kM]bit\/s/.test(row));
	await until('a row for each viewer and picture', async () => {
		const all = await rows();
		const screens = [NAMES[0], NAMES[2]].every((viewer) => has(all, viewer, `${NAMES[1]}’s screen`));
		return screens && has(all, NAMES[0], `${NAMES[2]}’s camera`) && all.some((row) => /layer \d of 2/.test(row));
	}, 8000);
});

if (picture) {
	await sleep(20000);
	await pages[2].click('#mute');
	await until('Grace talks', async () => (await statusOf(pages[0], NAMES[1])) === 'talking', 10000, 30);
	await pages[0].screenshot({ path: picture });
	await pages[2].click('#mute');
}

await test('what is shown no more goes away', async () => {
	await pages[1].click('#share');
	await pages[2].click('#camera');
	await until('no screen', async () => !(await pages[0].isVisible('#screen')));
	await until('no camera', async () => (await pages[0].locator('.person.filmed').count()) === 0);
	await until('no rows', async () => !(await pages[0].isVisible('#pictures-card')));
});

await test('mute shows at the others, and leaving removes the tile', async () => {
	await pages[1].click('#mute');
	await until('Grace is muted, for Ada', async () => (await statusOf(pages[0], NAMES[1])) === 'muted');
	await pages[2].click('#leave');
	await until('Alan is gone', async () => (await statusOf(pages[0], NAMES[2])) === 'absent');
	assert(await pages[2].isVisible('#lobby'), 'the one who left sees no lobby');
});

await test('a refused microphone gives advice', async () => {
	const page = await open('Hedy', 'tone');
	await page.evaluate(() => {
		navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'));
	});
	await page.selectOption('#lobby-mic', '');
	await page.waitForSelector('#notice:not([hidden])');
	const [notice] = await text(page, '#notice');
	assert(/allow the microphone/.test(notice) && /Test tone/.test(notice), notice);
});

if (controlPlane) {
	await test('while the control plane restarts the page says so, and says when it is back', async () => {
		process.kill(Number(controlPlane), 'SIGKILL');
		await until('the log tells', async () => (await text(pages[0], '#log'))[0].includes('Control plane away'), 5000, 20);
		await until('it is back', async () => (await text(pages[0], '#server'))[0] === 'Sluice is up', 15000);
		assert(await pages[0].isVisible('#room'), 'the call ended');
	});
}

await test('the page ran without an error', async () => assert(errors.length === 0, errors.join('\n')));
await browser.close();
process.exit(failed ? 1 : 0);
