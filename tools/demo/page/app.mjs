// The demo page: lobby, then one call with the official client class.
import { RTCPeer } from '@mattermost/calls-common';
import { decode } from '@msgpack/msgpack';
import { Microphone, Trouble } from './microphone.mjs';
import { Participant } from './participant.mjs';
import { Sampler } from './sampler.mjs';
import * as view from './view.mjs';

const { $ } = view;
const relayURL = `ws://${location.host}/ws`;
const NAMES = ['Ada', 'Grace', 'Alan', 'Hedy', 'Claude', 'Barbara', 'Edsger', 'Radia', 'Donald', 'Karen'];
const LEVEL_MS = 80;
const STATS_MS = 1000;

const microphone = new Microphone();
let me = null; // the Participant while in a call
let people = [];
let audioOut = [];
let timers = [];

function explain(error) {
	if (error instanceof Trouble) view.showNotice(error.message, error.advice);
	else view.showNotice('That did not work', error.message);
}

// --- lobby ---------------------------------------------------------------------------------------
// Until somebody joins, a socket of its own tells whether Sluice is there.
function watchServer() {
	const socket = new WebSocket(relayURL);
	socket.binaryType = 'arraybuffer';
	let answered = false;
	socket.onmessage = ({ data }) => {
		const message = decode(new Uint8Array(data));
		answered = true;
		if (message.type === 'server') serverState(message);
	};
	socket.onclose = () => {
		view.showServer({ up: false });
		if (answered) view.showNotice('The demo program has stopped', 'Start it again with “make demo”, then reload this page.');
		setTimeout(watchServer, 2000);
	};
}

let wasUp = true;
function serverState(state) {
	view.showServer(state);
	if (!state.up && wasUp) {
		view.showNotice(
			'Sluice’s control plane is away',
			'Calls that are up go on. Nobody can join until it is back; “make run” starts it again.',
			true
		);
		if (me) view.log('Control plane away; media goes on');
	}
	if (state.up && !wasUp) {
		view.hideNotice();
		if (me) view.log('Control plane back');
	}
	wasUp = state.up;
}

async function chooseMicrophone(id) {
	try {
		await microphone.open(id);
		view.hideNotice();
		me?.changeTrack(microphone.track);
	} catch (error) {
		explain(error);
	}
	view.showDevices(await Microphone.list(), microphone.deviceId);
}

function lobbyMeter() {
	$('lobby-level').style.width = `${Math.round(microphone.level() * 100)}%`;
	setTimeout(lobbyMeter, LEVEL_MS);
}

// --- call ----------------------------------------------------------------------------------------
async function join(event) {
	event.preventDefault();
	const call = $('call').value.trim();
	const name = $('name').value.trim();
	if (!call || !name) return;
	localStorage.setItem('name', name);
	history.replaceState(null, '', `?call=${encodeURIComponent(call)}`);
	view.hideNotice();
	$('join-button').disabled = true;
	try {
		if (!microphone.track) await microphone.open($('lobby-mic').value);
		await enter(call, name);
	} catch (error) {
		leave();
		if (error instanceof Trouble) explain(error);
		else {
			view.showNotice(
				'You could not join',
				`${error.message}. Is “make run” still running, and can this browser send UDP to its media port?`
			);
		}
	} finally {
		$('join-button').disabled = false;
	}
}

async function enter(call, name) {
	me = new Participant(RTCPeer, relayURL);
	me.on('roster', roster);
	me.on('stream', play);
	me.on('trouble', (text) => view.log(text));
	me.on('close', ended);
	await me.join(call, name);
	view.showRoom(call);
	view.showMute(true);
	view.log('You joined');
	roster(people);
	const sampler = new Sampler(me);
	timers = [setInterval(levels, LEVEL_MS), setInterval(() => statistics(sampler), STATS_MS)];
	await setMuted(false);
}

function roster(now) {
	if (!me?.sessionID) return;
	const before = new Map(people.map((person) => [person.sessionID, person]));
	for (const person of now) {
		const old = before.get(person.sessionID);
		before.delete(person.sessionID);
		if (person.sessionID === me.sessionID) continue;
		if (!old) view.log(`${person.name} is here`);
		else if (old.talking !== person.talking) view.log(`${person.name} ${person.talking ? 'talks' : 'stopped talking'}`);
		else if (old.muted !== person.muted) view.log(`${person.name} ${person.muted ? 'muted' : 'unmuted'}`);
	}
	for (const { name } of before.values()) view.log(`${name} left`);
	people = now;
	view.showPeople(people, me.sessionID);
}

// One audio element a stream, until its track ends.
function play(stream) {
	const audio = new Audio();
	audio.srcObject = stream;
	audio.autoplay = true;
	audio.play().catch(() => {
		view.showNotice('The browser waits for a click before it plays sound', 'Click anywhere on this page.', true);
		document.addEventListener('click', () => audioOut.forEach((out) => out.play()) || view.hideNotice(), { once: true });
	});
	audioOut.push(audio);
	stream.getTracks()[0].onended = () => (audioOut = audioOut.filter((out) => out !== audio));
}

async function setMuted(muted) {
	if (muted) me.mute();
	else await me.unmute(microphone.track, microphone.stream);
	view.showMute(muted);
}

// Rings around faces: of others the level that their packets carry, of ourselves the microphone's.
function levels() {
	if (!me?.peer) return;
	view.showLevel(me.sessionID, me.muted ? 0 : microphone.level());
	const from = me.senders();
	for (const { mid, receiver } of me.peer.pc.getTransceivers()) {
		if (!from[mid] || receiver.track.kind !== 'audio') continue;
		const [source] = receiver.getSynchronizationSources();
		const fresh = source && performance.timeOrigin + performance.now() - source.timestamp < 500;
		view.showLevel(from[mid], fresh ? Math.min(1, Math.sqrt(source.audioLevel ?? 0) * 1.4) : 0);
	}
}

async function statistics(sampler) {
	const sample = await sampler.sample().catch(() => null);
	if (!sample || !me) return;
	view.showPath(sample);
	const names = new Map(people.map(({ sessionID, name }) => [sessionID, name]));
	const rows = sample.down
		.filter(({ from }) => names.has(from))
		.map((stream) => ({ ...stream, name: names.get(stream.from) }));
	if (sample.up) rows.unshift({ ...sample.up, name: 'You' });
	view.showStreams(rows);
}

function ended(reason) {
	const wanted = reason === 'left' || me === null;
	leave();
	if (wanted) return;
	view.showNotice(
		reason,
		'Join again. If this repeats, look at what “make run” prints, and check that no firewall stops UDP to the media port.'
	);
}

function leave() {
	const was = me;
	me = null;
	was?.leave();
	timers.forEach(clearInterval);
	timers = [];
	audioOut.forEach((audio) => (audio.srcObject = null));
	audioOut = [];
	people = [];
	$('people').replaceChildren();
	view.showRoom(null);
}

async function copyLink() {
	await navigator.clipboard.writeText(location.href).catch(() => {});
	$('copy').textContent = 'Copied';
	setTimeout(() => ($('copy').textContent = 'Copy link'), 1500);
}

// --- start ---------------------------------------------------------------------------------------
$('join').addEventListener('submit', join);
$('mute').addEventListener('click', () => setMuted(!me.muted).catch(explain));
$('leave').addEventListener('click', leave);
$('copy').addEventListener('click', copyLink);
$('notice-close').addEventListener('click', view.hideNotice);
for (const select of document.querySelectorAll('select.mic')) {
	select.addEventListener('change', () => chooseMicrophone(select.value));
}
addEventListener('pagehide', () => me?.leave());
document.addEventListener('keydown', ({ key, target }) => {
	if (me && key === 'm' && target === document.body) setMuted(!me.muted).catch(explain);
});
navigator.mediaDevices?.addEventListener('devicechange', async () =>
	view.showDevices(await Microphone.list(), microphone.deviceId)
);

const query = new URLSearchParams(location.search);
$('call').value = query.get('call') ?? 'stand-up';
$('name').value = query.get('name') ?? localStorage.getItem('name') ?? NAMES[Math.floor(Math.random() * NAMES.length)];
watchServer();
chooseMicrophone(query.get('mic') ?? '');
lobbyMeter();
