// What is on the screen. No state of the call lives here.
import { spark } from './sampler.mjs';

export const $ = (id) => document.getElementById(id);
const LOG_LINES = 7;

function element(tag, className, text) {
	const made = document.createElement(tag);
	if (className) made.className = className;
	if (text !== undefined) made.textContent = text;
	return made;
}

export function showServer({ up, api, version }) {
	$('server').textContent = up ? 'Sluice is up' : 'Sluice is away';
	$('server').className = `pill ${up ? 'up' : 'down'}`;
	$('where').textContent = [api, version].filter(Boolean).join('  ·  ');
}

export function showNotice(title, text, mild = false) {
	$('notice-title').textContent = title;
	$('notice-text').textContent = text;
	$('notice').classList.toggle('mild', mild);
	$('notice').hidden = false;
}

export const hideNotice = () => ($('notice').hidden = true);

export function showRoom(call) {
	$('lobby').hidden = call !== null;
	$('room').hidden = call === null;
	$('room-name').textContent = call ?? '';
	document.title = call ? `${call} · Sluice demo` : 'Sluice demo';
	if (call === null) $('log').replaceChildren();
}

export function showDevices(devices, chosen) {
	for (const select of document.querySelectorAll('select.mic')) {
		select.replaceChildren(...devices.map(({ id, name }) => new Option(name, id, false, id === chosen)));
	}
}

export function showMute(muted) {
	$('mute').textContent = muted ? 'Unmute' : 'Mute';
	$('mute').setAttribute('aria-pressed', String(!muted));
	$('mute').classList.toggle('live', !muted);
}

function showPressed(id, on, text) {
	$(id).textContent = text;
	$(id).setAttribute('aria-pressed', String(on));
	$(id).classList.toggle('live', on);
}

export const showSharing = (on) => showPressed('share', on, on ? 'Stop sharing' : 'Share screen');
export const showFilming = (on) => showPressed('camera', on, on ? 'Camera off' : 'Camera');

export function log(text) {
	const line = element('li');
	line.append(element('time', '', new Date().toTimeString().slice(0, 8)), element('span', '', text));
	$('log').prepend(line);
	while ($('log').children.length > LOG_LINES) $('log').lastChild.remove();
}

const initials = (name) =>
	name
		.split(/\s+/)
		.filter(Boolean)
		.slice(0, 2)
		.map((word) => [...word][0].toUpperCase())
		.join('');

export const hueOf = (name) => [...name].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 200);

function howIs({ talking, muted }) {
	if (talking) return 'talking';
	return muted ? 'muted' : 'listening';
}

// Tiles are kept and changed, so that rings and focus do not jump.
export function showPeople(people, me) {
	$('room-count').textContent = people.length === 1 ? 'only you so far' : `${people.length} people`;
	const tiles = new Map([...$('people').children].map((tile) => [tile.dataset.id, tile]));
	for (const person of people) {
		const tile = tiles.get(person.sessionID) ?? newTile(person, me);
		tiles.delete(person.sessionID);
		tile.classList.toggle('talking', person.talking);
		tile.classList.toggle('silent', person.muted);
		tile.querySelector('.how').textContent = howIs(person);
		$('people').append(tile);
	}
	for (const gone of tiles.values()) gone.remove();
}

function newTile({ sessionID, name }, me) {
	const tile = element('li', 'person');
	tile.dataset.id = sessionID;
	const face = element('div', 'face', initials(name));
	face.style.setProperty('--hue', hueOf(name));
	tile.append(face, element('div', 'who', name), element('div', 'how'));
	if (sessionID === me) tile.append(element('span', 'tag', 'you'));
	return tile;
}

function attach(video, track) {
	if (video.srcObject?.getTracks()[0] === track) return;
	video.srcObject = new MediaStream([track]);
	video.play().catch(() => {});
}

// screen: {name, track} or null
export function showScreen(screen) {
	$('screen').hidden = screen === null;
	if (screen) attach($('screen-video'), screen.track);
	else $('screen-video').srcObject = null;
}

export const captionScreen = (text) => ($('screen-caption').textContent = text);

// cameras: session -> track
export function showCameras(cameras) {
	for (const tile of $('people').children) {
		const track = cameras.get(tile.dataset.id);
		let video = tile.querySelector('video');
		tile.classList.toggle('filmed', Boolean(track));
		if (!track) {
			video?.remove();
			continue;
		}
		if (!video) {
			video = element('video');
			Object.assign(video, { muted: true, playsInline: true, autoplay: true });
			tile.prepend(video);
		}
		attach(video, track);
	}
}

const mbps = (bps) => (bps >= 1e6 ? `${(bps / 1e6).toFixed(1)} Mbit/s` : `${Math.round(bps / 1000)} kbit/s`);

export function layerName({ layer, layer_bps: all, paused }) {
	if (paused) return 'paused';
	if (layer === null) return 'no layer';
	if (all.length < 2) return 'one layer';
	return `layer ${layer + 1} of ${all.length}`;
}

// rows: [{viewer, what, video, estimate}], video as the server tells it
export function showPictures(rows) {
	$('pictures-card').hidden = rows.length === 0;
	$('pictures').replaceChildren(
		...rows.map(({ viewer, what, video, estimate }) => {
			const row = element('li');
			row.append(element('b', '', `${viewer} ← ${what}`), element('em', '', mbps(video.sent_bps)));
			const facts = [layerName(video), video.codec];
			if (video.resent > 0) facts.push(`${video.resent} resent`);
			if (estimate > 0) facts.push(`room for ${mbps(estimate)}`);
			row.append(element('p', '', facts.join(' · ')));
			return row;
		})
	);
}

export function showLevel(sessionID, level) {
	const face = $('people').querySelector(`[data-id="${sessionID}"] .face`);
	face?.style.setProperty('--level', level.toFixed(2));
}

const ms = (value) => (value === null || value === undefined ? '–' : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`);

export function showPath({ path, up }) {
	const rows = [
		['Round trip', ms(path.rttMs || undefined)],
		['Server', path.address ?? '–'],
		['Codec', path.codec || '–'],
		['Encryption', [path.tls, path.cipher].filter(Boolean).join(' · ') || '–'],
		['Your voice', up ? `${ms(up.rttMs)} there and back` : 'not sent yet'],
	];
	$('path').replaceChildren(...rows.flatMap(([name, value]) => [element('dt', '', name), element('dd', '', value)]));
}

// streams: [{name, packets, lost, jitterMs, kbps, history}]
export function showStreams(streams) {
	$('streams').replaceChildren(...streams.map(streamRow));
}

function streamRow({ name, packets, lost, jitterMs, kbps, history }) {
	const row = element('li');
	const { line, fill } = spark(history);
	row.append(element('b', '', name), element('em', '', `${Math.round(kbps)} kbit/s`), drawing(line, fill));
	const facts = element('p');
	facts.append(`${packets.toLocaleString('en')} packets · `);
	facts.append(element('span', lost > 0 ? 'lossy' : '', `${lost} lost`));
	if (jitterMs !== null) facts.append(` · jitter ${ms(jitterMs)}`);
	row.append(facts);
	return row;
}

function drawing(line, fill) {
	const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
	svg.setAttribute('viewBox', '0 0 100 30');
	svg.setAttribute('preserveAspectRatio', 'none');
	for (const [className, d] of [
		['spark-fill', fill],
		['spark-line', line],
	]) {
		const path = document.createElementNS(svg.namespaceURI, 'path');
		path.setAttribute('class', className);
		path.setAttribute('d', d);
		svg.append(path);
	}
	return svg;
}
