// The Calls plugin's side of the protocol on the API port (8045), for the demo page and the tests.
//
// One Bridge is one Mattermost installation: it registers, keeps one WebSocket, and speaks for all sessions that its
// users open. It does what the plugin does and no more: joins are not acknowledged, sessions are not bound again after
// a lost WebSocket, a client's unpacked SDP may have 64 KiB.
import { EventEmitter } from 'node:events';
import { randomBytes } from 'node:crypto';
import { inflateSync } from 'node:zlib';
import { decodeMulti, encode } from '@msgpack/msgpack';
import WebSocket from 'ws';

export const RTC = {
	ICE: 1,
	SDP: 2,
	MUTE: 3,
	UNMUTE: 4,
	SCREEN_ON: 5,
	SCREEN_OFF: 6,
	VOICE_ON: 7,
	VOICE_OFF: 8,
	VIDEO_ON: 9,
	VIDEO_OFF: 10,
};
export const MAX_SDP_BYTES = 64 * 1024;
const RETRY_FIRST_MS = 100;
const RETRY_MAX_MS = 2000;
const REQUEST_MS = 5000;

// An id as Mattermost makes them: 26 characters of [a-z0-9].
export function newID() {
	let id = '';
	while (id.length < 26) {
		for (const byte of randomBytes(32)) {
			if (byte < 252 && id.length < 26) id += (byte % 36).toString(36);
		}
	}
	return id;
}

// Inflate what a client sent; throws when it is more than the plugin lets through.
export function unzipSDP(zipped) {
	return inflateSync(zipped, { maxOutputLength: MAX_SDP_BYTES }).toString('utf8');
}

// events: up {clientID, connID} | down | signal (sessionID, json) | voice ({sessionID, userID, callID, on})
//         | close (sessionID) | odd (text): something the server must not have sent
export class Bridge extends EventEmitter {
	constructor({ api, clientID = 'demo', authKey = randomBytes(24).toString('base64url') }) {
		super();
		this.api = api.replace(/\/+$/, '');
		this.clientID = clientID;
		this.authKey = authKey;
		this.socket = null;
		this.stopped = false;
		this.version = ''; // of the server
		this.sessions = new Map(); // sessionID -> {callID, userID}
	}

	get isUp() {
		return this.socket?.readyState === WebSocket.OPEN;
	}

	async request(method, path, body) {
		const reply = await fetch(this.api + path, {
			method,
			headers: { Authorization: this.authorization(), 'Content-Type': 'application/json' },
			body: body === undefined ? undefined : JSON.stringify(body),
			signal: AbortSignal.timeout(REQUEST_MS),
		});
		const text = await reply.text();
		let json = null;
		try {
			json = JSON.parse(text);
		} catch {
			// Not JSON: the caller sees the text.
		}
		return { status: reply.status, text, json };
	}

	authorization() {
		return 'Basic ' + Buffer.from(`${this.clientID}:${this.authKey}`).toString('base64');
	}

	// As the plugin at activation: WebSocket; when refused, register and try once more; then the version.
	async connect() {
		try {
			await this.open();
		} catch (refusal) {
			if (refusal.unreachable) throw refusal;
			const reply = await this.request('POST', '/register', { clientID: this.clientID, authKey: this.authKey });
			if (reply.status !== 201) {
				throw new Error(`register ${this.clientID}: ${reply.status} ${reply.json?.error ?? reply.text}`);
			}
			await this.open();
		}
		const version = await this.request('GET', '/version');
		if (version.status !== 200) throw new Error(`version: ${version.status}`);
		this.version = version.json?.buildVersion ?? '';
		return version.json;
	}

	open() {
		return new Promise((resolve, reject) => {
			const socket = new WebSocket(this.api.replace(/^http/, 'ws') + '/ws', {
				headers: { Authorization: this.authorization() },
				perMessageDeflate: false,
				handshakeTimeout: REQUEST_MS,
				maxPayload: 1024 * 1024,
			});
			let greeted = false;
			socket.on('unexpected-response', (_request, reply) => {
				reply.resume();
				reject(new Error(`WebSocket refused: ${reply.statusCode}`));
				socket.terminate();
			});
			socket.on('error', (error) => {
				if (error.code === 'ECONNREFUSED') error.unreachable = true;
				reject(error);
			});
			socket.on('close', () => {
				reject(new Error('WebSocket closed before hello'));
				if (this.socket !== socket) return;
				this.socket = null;
				this.emit('down');
				if (!this.stopped) this.retry(RETRY_FIRST_MS);
			});
			socket.on('message', (data, isBinary) => {
				if (!isBinary) return this.emit('odd', 'text frame');
				let type, body;
				try {
					[type, body] = decodeMulti(data);
				} catch (error) {
					return this.emit('odd', `frame that is no msgpack: ${error.message}`);
				}
				if (!greeted) {
					greeted = true;
					if (type !== 'hello') this.emit('odd', `${type} before hello`);
					this.socket = socket;
					resolve(body);
				}
				this.receive(type, body);
			});
		});
	}

	retry(wait) {
		this.timer = setTimeout(() => {
			this.connect().catch(() => {
				if (!this.stopped && !this.isUp) this.retry(Math.min(wait * 2, RETRY_MAX_MS));
			});
		}, wait);
	}

	receive(type, body) {
		switch (type) {
			case 'hello':
				this.check(type, body);
				return this.emit('up', body);
			case 'close':
				this.check(type, body);
				this.sessions.delete(body.sessionID);
				return this.emit('close', body.sessionID);
			case 'rtc':
			case 'vad':
				return this.receiveRTC(body);
			default:
				return this.emit('odd', `type ${type}`);
		}
	}

	// hello and close must be maps of strings only, and not empty: the plugin's decoder takes nothing else.
	check(type, body) {
		const values = body && typeof body === 'object' ? Object.values(body) : [];
		if (values.length === 0 || values.some((value) => typeof value !== 'string')) {
			this.emit('odd', `${type} that is not a map of strings`);
		}
	}

	receiveRTC({ type, session_id: sessionID, user_id: userID, call_id: callID, data }) {
		if (type === RTC.ICE || type === RTC.SDP) {
			return this.emit('signal', sessionID, Buffer.from(data).toString('utf8'));
		}
		if (type !== RTC.VOICE_ON && type !== RTC.VOICE_OFF) return this.emit('odd', `rtc type ${type}`);
		if (!sessionID || !userID || !callID) this.emit('odd', 'voice event without its ids');
		return this.emit('voice', { sessionID, userID, callID, on: type === RTC.VOICE_ON });
	}

	// false when there is no WebSocket: the message is lost, as in the plugin.
	send(type, body) {
		if (!this.isUp) return false;
		this.socket.send(Buffer.concat([encode(type), encode(body)]));
		return true;
	}

	join({ callID, userID, sessionID, channelID = callID, av1Support = false, dcSignaling = false }) {
		this.sessions.set(sessionID, { callID, userID });
		return this.send('join', { callID, userID, sessionID, channelID, av1Support, dcSignaling });
	}

	leave(sessionID) {
		this.sessions.delete(sessionID);
		return this.send('leave', { sessionID });
	}

	reconnect(sessionID) {
		return this.send('reconnect', { sessionID });
	}

	rtc(sessionID, type, data) {
		const message = { group_id: '', user_id: '', session_id: sessionID, call_id: '', type };
		if (data !== undefined) message.data = Buffer.from(data);
		return this.send('rtc', message);
	}

	// Lose the WebSocket as a network fault does; it is opened again.
	drop() {
		this.socket?.terminate();
	}

	stop() {
		this.stopped = true;
		clearTimeout(this.timer);
		this.socket?.close();
	}
}
