// In the page: any number of participants with the official client class, each with a tone of its own for a voice, and
// what the tests ask about them. `window.lab` is driven by harness.mjs.
import { RTCPeer } from '@mattermost/calls-common';
import { Participant } from '../../../tools/demo/page/participant.mjs';
import { alongPath, udpPort } from './candidates.mjs';
import { colourAt, colourOf, paintedStream } from './painting.mjs';

const audio = new AudioContext({ sampleRate: 48000 });
const people = new Map(); // id -> {who, streams, track, stream, elements, troubles, closed}
const paths = new Map(); // id -> which candidates they take, see candidates.mjs
let silenceSink;

// A tone that only this person makes; 16 of them, far apart for an FFT after Opus.
const hzOf = (id) => 400 + 200 * (Number(id.match(/\d+$/)?.[0] ?? 0) % 16);

function toneTrack(hz) {
	const oscillator = new OscillatorNode(audio, { frequency: hz });
	const gain = new GainNode(audio, { gain: 0.3 });
	const out = new MediaStreamAudioDestinationNode(audio, { channelCount: 1 });
	oscillator.connect(gain).connect(out);
	oscillator.start();
	return out.stream;
}

const micStream = () =>
	navigator.mediaDevices.getUserMedia({
		audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
	});

const the = (id) => people.get(id) ?? fail(`no participant ${id}`);
function fail(text) {
	throw new Error(text);
}

async function join(id, call, options = {}) {
	await audio.resume();
	const Peer = class extends RTCPeer {
		async signal(json) {
			const told = alongPath(json, paths.get(id));
			if (told !== null) await super.signal(told);
		}
	};
	const who = new Participant(Peer, `ws://${location.host}/ws`, options);
	const person = { who, streams: 0, elements: [], troubles: [], closed: null };
	people.set(id, person);
	who.on('stream', (stream) => {
		person.streams++;
		const element = document.createElement(stream.getVideoTracks().length ? 'video' : 'audio');
		element.srcObject = stream;
		element.autoplay = true;
		element.muted = element.localName === 'video';
		person.elements.push(element); // Chromium counts audio energy only of what somebody plays
		element.play().catch(() => {});
	});
	who.on('trouble', (text) => person.troubles.push(text));
	who.on('close', (reason) => (person.closed = reason));
	const begin = performance.now();
	await who.join(call, id);
	return { sessionID: who.sessionID, ms: performance.now() - begin };
}

// As when the web client joins unmuted: the track is added as soon as the peer connection is up.
async function joinTalking(id, call, options) {
	const joined = await join(id, call, options);
	await unmute(id);
	return joined;
}

async function unmute(id, source = 'tone') {
	const person = the(id);
	person.stream ??= source === 'mic' ? await micStream() : toneTrack(hzOf(id));
	await person.who.unmute(person.stream.getAudioTracks()[0], person.stream);
}

// All in the same millisecond: the streams exist beforehand, nothing is awaited in between.
async function unmuteTogether(ids) {
	for (const id of ids) the(id).stream ??= toneTrack(hzOf(id));
	await Promise.all(ids.map((id) => the(id).who.unmute(the(id).stream.getAudioTracks()[0], the(id).stream)));
}

// A picture that only this person makes. sound: with a tone, as the sound of a tab
async function share(id, { width = 640, height = 360, sound = false } = {}) {
	const person = the(id);
	const stream = paintedStream(id, width, height);
	stream.getVideoTracks()[0].contentHint = 'detail'; // as a screen: fewer pictures rather than smaller ones
	if (sound) stream.addTrack(toneTrack(hzOf(id)).getAudioTracks()[0]);
	person.shared = stream;
	await person.who.share(stream);
}

async function unshare(id) {
	const person = the(id);
	await person.who.unshare();
	for (const track of person.shared.getTracks()) track.stop();
}

// One stops and the next begins at once.
async function handOver(from, to) {
	await unshare(from);
	await share(to);
}

async function showCamera(id, announceMs = 0) {
	const person = the(id);
	person.filmed = paintedStream(id, 640, 360);
	await person.who.showCamera(person.filmed, announceMs);
}

// In the same millisecond one shares, another shows a camera and a third unmutes.
async function showTogether(sharer, filmed, talker) {
	the(talker).stream ??= toneTrack(hzOf(talker));
	await Promise.all([share(sharer), showCamera(filmed), unmute(talker)]);
}

function hideCamera(id) {
	const person = the(id);
	person.who.hideCamera();
	for (const track of person.filmed.getTracks()) track.stop();
}

// Resolves with the milliseconds until this listener has decoded `frames` pictures from that session.
async function firstPicture(id, from, { frames = 1, ms = 5000, since = performance.now() } = {}) {
	for (;;) {
		const { inbound } = await stats(id);
		const line = inbound.find((one) => one.kind === 'video' && one.from === from && one.frames >= frames);
		if (line) return performance.now() - since;
		if (performance.now() - since > ms) return null;
		await new Promise((resolve) => setTimeout(resolve, 20));
	}
}

// Milliseconds until `packets` more of that kind have come from that session; null after `ms`.
async function more(id, from, kind, packets = 3, ms = 5000) {
	const since = performance.now();
	const count = async () => {
		const lines = (await stats(id)).inbound.filter((one) => one.kind === kind && one.from === from);
		return lines.reduce((sum, one) => sum + one.packets, 0);
	};
	const before = await count();
	while (performance.now() - since < ms) {
		if ((await count()) >= before + packets) return performance.now() - since;
		await new Promise((resolve) => setTimeout(resolve, 15));
	}
	return null;
}

// From joining to the first picture.
async function joinAndSee(id, call, options, from) {
	const since = performance.now();
	const { sessionID, ms } = await join(id, call, options);
	return { sessionID, ms, pictureMs: await firstPicture(id, from, { since }) };
}

// Whose picture each video line shows: the colour that is painted in its corner.
async function look(id) {
	const person = the(id);
	const from = person.who.senders();
	const seen = [];
	for (const { mid, receiver } of person.who.peer.pc.getTransceivers()) {
		if (!from[mid] || receiver.track.kind !== 'video') continue;
		const element = person.elements.findLast((one) => one.srcObject?.getTracks()[0].id === receiver.track.id);
		seen.push({ from: from[mid], colour: element ? colourAt(element) : null });
	}
	return seen;
}

// The longest time between two new pictures from that session, over `ms`: what a person would call a freeze.
async function longestGap(id, from, ms) {
	const end = performance.now() + ms;
	let frames = -1;
	let last = performance.now();
	let longest = 0;
	while (performance.now() < end) {
		const { inbound } = await stats(id);
		const line = inbound.find((one) => one.kind === 'video' && one.from === from && one.fps > 0) ?? { frames };
		const now = performance.now();
		if (line.frames !== frames) {
			longest = Math.max(longest, now - last);
			[frames, last] = [line.frames, now];
		}
		await new Promise((resolve) => setTimeout(resolve, 20));
	}
	return Math.max(longest, performance.now() - last);
}

function leave(id) {
	const person = people.get(id);
	if (!person) return;
	people.delete(id);
	person.who.leave();
	for (const element of person.elements) element.srcObject = null;
	for (const stream of [person.stream, person.shared, person.filmed]) {
		for (const track of stream?.getTracks() ?? []) track.stop();
	}
}

function leaveAll() {
	[...people.keys()].forEach(leave);
	paths.clear();
}

async function stats(id) {
	const person = the(id);
	const from = person.who.senders();
	const report = await person.who.peer.getStats();
	const result = { at: performance.now(), inbound: [], outbound: [], pair: null };
	for (const entry of report.values()) {
		if (entry.type === 'inbound-rtp') {
			const remote = report.get(entry.remoteId);
			result.inbound.push({
				kind: entry.kind,
				mid: entry.mid,
				ssrc: entry.ssrc,
				from: from[entry.mid] ?? null,
				packets: entry.packetsReceived,
				lost: entry.packetsLost,
				jitter: entry.jitter,
				energy: entry.totalAudioEnergy ?? 0,
				frames: entry.framesDecoded ?? 0,
				width: entry.frameWidth ?? 0,
				height: entry.frameHeight ?? 0,
				fps: entry.framesPerSecond ?? 0,
				bytes: entry.bytesReceived,
				keyFrames: entry.keyFramesDecoded ?? 0,
				freezes: entry.freezeCount ?? 0,
				frozenMs: 1000 * (entry.totalFreezesDuration ?? 0),
				plis: entry.pliCount ?? 0,
				nacks: entry.nackCount ?? 0,
				codec: report.get(entry.codecId)?.mimeType ?? '',
				playout: entry.estimatedPlayoutTimestamp ?? null,
				reported: remote ? remote.packetsSent : null, // by the server's sender reports
			});
		} else if (entry.type === 'outbound-rtp') {
			const remote = report.get(entry.remoteId);
			result.outbound.push({
				kind: entry.kind,
				mid: entry.mid,
				rid: entry.rid ?? '',
				frames: entry.framesEncoded ?? 0,
				plis: entry.pliCount ?? 0,
				codec: report.get(entry.codecId)?.mimeType ?? '',
				packets: entry.packetsSent,
				reportedLost: remote ? remote.packetsLost : null, // by the server's receiver reports
				reportedRTT: remote?.roundTripTime ?? null,
			});
		} else if (entry.type === 'candidate-pair' && entry.nominated && entry.state === 'succeeded') {
			const { protocol, address } = report.get(entry.remoteCandidateId) ?? {};
			result.pair = { rtt: entry.currentRoundTripTime, protocol, address, local: entry.localCandidateId };
		}
	}
	return result;
}

function state(id) {
	const person = the(id);
	const { peer } = person.who;
	return {
		connection: peer?.pc.connectionState ?? 'gone',
		channel: peer?.dc.readyState ?? 'gone',
		rtt: peer?.getRTT() ?? 0,
		streams: person.streams,
		lines: peer ? peer.pc.getTransceivers().length : 0,
		serverPort: udpPort(peer?.pc.remoteDescription?.sdp ?? ''),
		sdpBytes: peer?.pc.localDescription?.sdp.length ?? 0,
		troubles: person.troubles,
		closed: person.closed,
	};
}

// What can be heard: for each incoming audio line the strongest frequency, in Hz, and who should be making it.
async function listen(id) {
	const person = the(id);
	const from = person.who.senders();
	silenceSink ??= new GainNode(audio, { gain: 0 });
	silenceSink.connect(audio.destination);
	const taps = [];
	for (const transceiver of person.who.peer.pc.getTransceivers()) {
		const sender = from[transceiver.mid];
		if (!sender || transceiver.receiver.track.kind !== 'audio') continue;
		const source = audio.createMediaStreamSource(new MediaStream([transceiver.receiver.track]));
		const analyser = new AnalyserNode(audio, { fftSize: 8192, smoothingTimeConstant: 0 });
		source.connect(analyser).connect(silenceSink);
		taps.push({ sender, mid: transceiver.mid, source, analyser });
	}
	await new Promise((resolve) => setTimeout(resolve, 400));
	return taps.map(({ sender, mid, source, analyser }) => {
		const bins = new Float32Array(analyser.frequencyBinCount);
		analyser.getFloatFrequencyData(bins);
		const best = bins.indexOf(Math.max(...bins));
		source.disconnect();
		analyser.disconnect();
		return { from: sender, mid, hz: (best * audio.sampleRate) / analyser.fftSize, level: bins[best] };
	});
}

function channelSend(id, bytes) {
	the(id).who.peer.dc.send(typeof bytes === 'string' ? bytes : new Uint8Array(bytes));
}

// What no correct client sends: past the class, straight to the relay.
function relaySend(id, action, data) {
	the(id).who.send(action, { data });
}

const answered = (id) => the(id).who.peer.pc.signalingState === 'stable';

window.lab = {
	answered,
	channelSend,
	colourOf,
	firstPicture,
	handOver,
	hideCamera,
	hzOf,
	join,
	joinAndSee,
	joinTalking,
	leave,
	leaveAll,
	listen,
	longestGap,
	look,
	more,
	mute: (id) => the(id).who.mute(),
	path: (id, path) => void paths.set(id, path),
	relaySend,
	share,
	showCamera,
	showTogether,
	state,
	stats,
	unmute,
	unmuteTogether,
	unshare,
};
