// One person in a call: the official client class (RTCPeer) on one side, a WebSocket to the relay on the other, wired
// as the Calls web client wires them.
import { decode, encode } from '@msgpack/msgpack';
import { EventEmitter } from 'events';
import { zlibSync, strToU8 } from 'fflate';

const JOIN_MS = 10000;
const CAMERA_ENCODINGS = [{ maxBitrate: 1000 * 1000, maxFramerate: 30, scaleResolutionDownBy: 1.0 }];

// events: connect | stream (MediaStream, map entry, mid) | roster (people) | media (what each session is sent) | server ({up, api, version}) | close (reason) | error (text)
export class Participant extends EventEmitter {
	// Peer: the RTCPeer class; url: the relay's WebSocket; options: dcSignaling, dcLocking, simulcast, av1Support
	constructor(Peer, url, { logger, ...options } = {}) {
		super();
		this.Peer = Peer;
		this.url = url;
		this.options = options;
		this.logger = logger ?? quiet;
		this.sessionID = null;
		this.peer = null;
		this.voice = null; // the track whose sender carries our voice
		this.screen = null; // {stream, twin} while we share
		this.camera = null; // the track whose sender carries our camera
		this.muted = true;
		this.left = false;
	}

	// Resolves when the peer connection is up.
	join(call, name) {
		return new Promise((resolve, reject) => {
			const fail = (text) => {
				reject(new Error(text));
				this.leave();
			};
			const timer = setTimeout(() => fail('The server did not answer within 10 seconds'), JOIN_MS);
			this.once('connect', () => {
				clearTimeout(timer);
				resolve(this);
			});
			this.once('failed', fail);
			this.socket = new WebSocket(this.url);
			this.socket.binaryType = 'arraybuffer';
			this.socket.onopen = () =>
				this.send('join', {
					call,
					name,
					av1Support: Boolean(this.options.av1Support),
					dcSignaling: Boolean(this.options.dcSignaling),
				});
			this.socket.onmessage = ({ data }) => this.receive(decode(new Uint8Array(data)));
			this.socket.onclose = () => this.end('The connection to the demo program was lost');
		});
	}

	send(action, more = {}) {
		if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(encode({ action, ...more }));
	}

	receive(message) {
		switch (message.type) {
			case 'joined':
				this.sessionID = message.sessionID;
				return this.start();
			case 'signal':
				return this.signal(message.data);
			case 'roster':
				return this.emit('roster', message.people);
			case 'server':
				return this.emit('server', message);
			case 'media':
				return this.emit('media', message.sessions);
			case 'close':
				return this.end('The server ended this session');
			case 'error':
				this.emit('failed', message.text);
				return this.emit('trouble', message.text);
		}
	}

	async signal(json) {
		try {
			await this.peer?.signal(json);
		} catch (error) {
			this.emit('trouble', `signal: ${error.message}`);
		}
	}

	start() {
		this.peer = new this.Peer({
			iceServers: [],
			logger: this.logger,
			dcSignaling: Boolean(this.options.dcSignaling),
			dcLocking: Boolean(this.options.dcLocking),
			simulcast: Boolean(this.options.simulcast),
		});
		const sdp = (description) => this.send('sdp', { data: zlibSync(strToU8(JSON.stringify(description))) });
		this.peer.on('offer', sdp);
		this.peer.on('answer', sdp);
		this.peer.on('candidate', (candidate) => this.send('ice', { data: JSON.stringify(candidate) }));
		this.peer.on('connect', () => this.emit('connect'));
		this.peer.on('stream', (stream, entry, mid) => this.emit('stream', stream, entry, mid));
		this.peer.on('error', (error) => this.emit('trouble', String(error?.message ?? error)));
		this.peer.on('close', (error) => this.end(error ? 'The media path to the server failed' : 'closed'));
	}

	// The first time the track is negotiated; later it only takes its sender's place.
	async unmute(track, stream) {
		this.muted = false;
		this.send('unmute');
		if (this.voice) this.peer.replaceTrack(this.voice.id, track);
		else await this.peer.addTrack(track, stream);
		this.voice = track;
	}

	mute() {
		this.muted = true;
		if (this.voice) this.peer.replaceTrack(this.voice.id, null);
		this.send('mute');
	}

	// The same sender with another microphone.
	changeTrack(track) {
		if (!this.voice) return;
		if (!this.muted) this.peer.replaceTrack(this.voice.id, track);
		this.voice = this.muted ? this.voice : track;
	}

	// Screen sharing as the web client does it: announced first, VP8 line, sound, then the same picture as AV1 if we can.
	async share(stream) {
		const [picture] = stream.getVideoTracks();
		this.screen = { stream, twin: null };
		this.send('screen_on', { data: JSON.stringify({ screenStreamID: stream.id }) });
		await this.peer.addTrack(picture, stream);
		for (const sound of stream.getAudioTracks()) await this.peer.addTrack(sound, stream);
		if (this.options.av1Support) await this.addTwin(picture, stream);
	}

	async addTwin(picture, stream) {
		const codec = RTCRtpReceiver.getCapabilities('video').codecs.find(({ mimeType }) => mimeType === 'video/AV1');
		if (!codec) return;
		if (this.Peer.getVideoCodec) {
			await this.peer.addTrack(picture, stream, { codec });
			return;
		}
		// npm's class keeps one sender a track.
		const line = this.peer.pc.addTransceiver(picture, { direction: 'sendonly', streams: [stream] });
		line.setCodecPreferences([codec]);
		this.screen.twin = line.sender;
	}

	async unshare() {
		const { stream, twin } = this.screen;
		this.screen = null;
		for (const track of stream.getTracks()) await this.peer?.removeTrack(track.id);
		if (twin) this.peer?.pc.removeTrack(twin);
		this.send('screen_off');
	}

	// A camera is announced after its track; later ones take its sender's place. announceMs: how much later
	async showCamera(stream, announceMs = 0) {
		const [picture] = stream.getVideoTracks();
		if (this.camera) this.peer.replaceTrack(this.camera.id, picture);
		else await this.peer.addTrack(picture, stream, { encodings: CAMERA_ENCODINGS });
		this.camera = picture;
		if (announceMs) await new Promise((resolve) => setTimeout(resolve, announceMs));
		this.send('video_on', { data: JSON.stringify({ videoStreamID: stream.id }) });
	}

	hideCamera() {
		this.peer?.replaceTrack(this.camera.id, null);
		this.send('video_off');
	}

	// mid -> {from, type}: whose voice, screen, screen-audio or video the server sends there, from the msid lines of its
	// last description.
	lines() {
		const found = {};
		const sections = (this.peer?.pc.remoteDescription?.sdp ?? '').split('\r\nm=').slice(1);
		for (const section of sections) {
			const mid = section.match(/\r\na=mid:(\S+)/)?.[1];
			const [, from, track] = section.match(/\r\na=(?:ssrc:\d+ )?msid:(\S+) (\S+)/) ?? [];
			if (from && /\r\na=send(only|recv)/.test(section)) found[mid] = { from, type: track.split('_')[0] };
		}
		return found;
	}

	// mid -> session whose media the server sends there.
	senders() {
		return Object.fromEntries(Object.entries(this.lines()).map(([mid, { from }]) => [mid, from]));
	}

	leave() {
		this.send('leave');
		this.end('left');
	}

	end(reason) {
		if (this.left) return;
		this.left = true;
		this.socket.onclose = null;
		this.socket.close();
		if (this.peer) {
			const peer = this.peer;
			this.peer = null;
			peer.destroy();
		}
		this.emit('failed', reason);
		this.emit('close', reason);
	}
}

const quiet = { logDebug() {}, logInfo() {}, logWarn() {}, logErr() {} };
