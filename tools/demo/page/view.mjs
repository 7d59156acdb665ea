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
