// The demo page: lobby, then one call with the official client class.
import { RTCPeer } from '@mattermost/calls-common';
import { decode } from '@msgpack/msgpack';
import { Microphone, Trouble } from './microphone.mjs';
import { Participant } from './participant.mjs';
import { openCamera, openScreen } from './pictures.mjs';
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
let shown = { screen: null, camera: null }; // streams that we show
let screenFrom = null; // session whose screen is on the page
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
	me = new Participant(RTCPeer, relayURL, { simulcast: true });
	me.on('media', showMedia);
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
	pictures();
	if (!people.some(({ showing }) => showing.length > 0)) view.showPictures([]);
}

// One audio element a stream, until its track ends.
function play(stream) {
	const [track] = stream.getTracks();
	if (track.kind === 'video') {
		track.onmute = track.onunmute = track.onended = pictures;
		pictures();
		return;
	}
	const audio = new Audio();
	audio.srcObject = stream;
	audio.autoplay = true;
	audio.play().catch(() => {
		view.showNotice('The browser waits for a click before it plays sound', 'Click anywhere on this page.', true);
		document.addEventListener('click', () => audioOut.forEach((out) => out.play()) || view.hideNotice(), { once: true });
	});
	audioOut.push(audio);
	track.onended = () => (audioOut = audioOut.filter((out) => out !== audio));
}

async function setMuted(muted) {
	if (muted) me.mute();
	else await me.unmute(microphone.track, microphone.stream);
	view.showMute(muted);
}

// What others show by the server's last description, and what we show ourselves.
function pictures() {
	if (!me?.peer) return;
	const cameras = new Map();
	if (shown.camera) cameras.set(me.sessionID, shown.camera.getVideoTracks()[0]);
	let screen = shown.screen ? { from: me.sessionID, name: 'You share', track: shown.screen.getVideoTracks()[0] } : null;
	const lines = me.lines();
	for (const { mid, receiver } of me.peer.pc.getTransceivers()) {
		const { track } = receiver;
		const line = lines[mid];
		// A camera that is switched off keeps its line.
		if (!line || track.kind !== 'video' || track.muted || !shows(line.from, line.type)) continue;
		if (line.type === 'screen') screen = { from: line.from, name: `${nameOf(line.from)} shares`, track };
		else cameras.set(line.from, track);
	}
	if (screen && screen.from !== screenFrom) view.captionScreen(screen.name);
	screenFrom = screen?.from ?? null;
	view.showScreen(screen);
	view.showCameras(cameras);
}

const shows = (sessionID, type) => people.some((person) => person.sessionID === sessionID && person.showing.includes(type));
const nameOf = (sessionID) => people.find((person) => person.sessionID === sessionID)?.name ?? 'somebody';

// sessions: what the server says that it sends to each person in the call
function showMedia(sessions) {
	const rows = [];
	for (const { session_id: viewer, estimate_bps: estimate, video } of sessions) {
		for (const one of video) {
			const what = `${nameOf(one.sender_id)}’s ${one.type === 'screen' ? 'screen' : 'camera'}`;
			rows.push({ viewer: nameOf(viewer), what, video: one, estimate });
		}
		const screen = video.find(({ type }) => type === 'screen');
		if (viewer === me?.sessionID && screen) {
			view.captionScreen(`${nameOf(screen.sender_id)} shares · ${view.layerName(screen)} · ${Math.round(screen.sent_bps / 1000)} kbit/s`);
		}
	}
	view.showPictures(rows);
	pictures();
}

async function toggleShare() {
	if (shown.screen) return stopSharing();
	const stream = await openScreen(nameOf(me.sessionID));
	if (!stream) return;
	shown.screen = stream;
	stream.getVideoTracks()[0].onended = stopSharing; // by the browser's own button
	view.showSharing(true);
	await me.share(stream);
	view.log('You share your screen');
	pictures();
}

async function stopSharing() {
	const stream = shown.screen;
	if (!stream) return;
	shown.screen = null;
	view.showSharing(false);
	stream.getTracks().forEach((track) => track.stop());
	await me?.unshare();
	pictures();
}

async function toggleCamera() {
	if (shown.camera) {
		shown.camera.getTracks().forEach((track) => track.stop());
		shown.camera = null;
		me.hideCamera();
	} else {
		const stream = await openCamera(nameOf(me.sessionID));
		if (!stream) return;
		shown.camera = stream;
		await me.showCamera(stream);
	}
	view.showFilming(Boolean(shown.camera));
	pictures();
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
	for (const stream of Object.values(shown)) stream?.getTracks().forEach((track) => track.stop());
	shown = { screen: null, camera: null };
	screenFrom = null;
	view.showSharing(false);
	view.showFilming(false);
	view.showScreen(null);
	view.showPictures([]);
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
$('share').addEventListener('click', () => toggleShare().catch(explain));
$('camera').addEventListener('click', () => toggleCamera().catch(explain));
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
