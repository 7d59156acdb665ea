// Between pages and a Bridge: serves the page's files and one WebSocket a participant at /ws, as Mattermost does
// between its web client and the plugin. Messages are msgpack maps; `action` (page to us) or `type` (us to page).
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { decode, encode } from '@msgpack/msgpack';
import { WebSocketServer } from 'ws';
import { newID, RTC, unzipSDP } from './bridge.mjs';

const TYPES = {
	'.html': 'text/html; charset=utf-8',
	'.css': 'text/css; charset=utf-8',
	'.js': 'text/javascript; charset=utf-8',
	'.svg': 'image/svg+xml',
	'.map': 'application/json',
};
const MAX_PAGE_MESSAGE_BYTES = 2 * 1024 * 1024;
const MAX_NAME = 40;
const MEDIA_MS = 1000; // how often people learn what each of them is sent

// What a page may ask for that goes on as it is: action -> rtc type.
const PLAIN = {
	mute: RTC.MUTE,
	unmute: RTC.UNMUTE,
	screen_off: RTC.SCREEN_OFF,
	video_off: RTC.VIDEO_OFF,
};
const WITH_DATA = { ice: RTC.ICE, screen_on: RTC.SCREEN_ON, video_on: RTC.VIDEO_ON };
const SHOWN = {
	screen_on: ['screen', true],
	screen_off: ['screen', false],
	video_on: ['video', true],
	video_off: ['video', false],
};

// A call's id from the name people type.
export function callIDOf(name) {
	const digest = createHash('sha256').update(name.trim().toLowerCase()).digest();
	return [...digest].map((byte) => (byte % 36).toString(36)).join('').slice(0, 26);
}

// The file that a request names, inside our folders; null for nonsense.
function fileName(url) {
	try {
		const path = normalize(decodeURIComponent(new URL(url, 'http://x').pathname));
		return path === '/' ? 'index.html' : path.slice(1);
	} catch {
		return null;
	}
}

export class Relay {
	// folders: where files are looked for, in order.
	constructor(bridge, folders) {
		this.bridge = bridge;
		this.folders = folders;
		this.people = new Map(); // sessionID -> {socket, sessionID, userID, callID, name, muted, talking}
		this.voiceLog = []; // {at, sessionID, on}; tests read it
		this.closed = []; // sessionIDs that the server closed on its own
		this.oddities = [];
		this.http = createServer((request, response) => this.serve(request, response));
		this.sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_PAGE_MESSAGE_BYTES });
		this.http.on('upgrade', (request, socket, head) => this.upgrade(request, socket, head));
		bridge.on('signal', (sessionID, json) => this.to(sessionID, { type: 'signal', data: json }));
		bridge.on('voice', (event) => this.voice(event));
		bridge.on('close', (sessionID) => this.serverClosed(sessionID));
		bridge.on('odd', (text) => this.oddities.push(text));
		this.timer = setInterval(() => this.media(), MEDIA_MS);
		bridge.on('up', () => this.toAll(this.server()));
		bridge.on('down', () => this.toAll(this.server()));
	}

	listen(port, host = '127.0.0.1') {
		return new Promise((resolve, reject) => {
			this.http.once('error', reject);
			this.http.listen(port, host, () => {
				this.http.off('error', reject);
				resolve(this.http.address().port);
			});
		});
	}

	stop() {
		clearInterval(this.timer);
		for (const socket of this.sockets.clients) socket.terminate();
		this.sockets.close();
		this.http.close();
	}

	async serve(request, response) {
		for (const folder of this.folders) {
			const name = fileName(request.url);
			if (name === null) break;
			try {
				const body = await readFile(join(folder, name));
				response.writeHead(200, {
					'Content-Type': TYPES[extname(name)] ?? 'application/octet-stream',
					'Cache-Control': 'no-store',
				});
				return response.end(body);
			} catch {
				// Not in this folder.
			}
		}
		response.writeHead(404, { 'Content-Type': 'text/plain' });
		return response.end('no such file\n');
	}

	// Only our own page: any site that the browser shows could reach 127.0.0.1.
	upgrade(request, socket, head) {
		const { origin, host } = request.headers;
		if (request.url !== '/ws' || origin !== `http://${host}`) {
			return socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n');
		}
		return this.sockets.handleUpgrade(request, socket, head, (accepted) => this.accept(accepted));
	}

	accept(socket) {
		let person = null;
		socket.on('message', (data, isBinary) => {
			if (!isBinary) return;
			try {
				const message = decode(data);
				if (message.action === 'join' && !person) person = this.join(socket, message);
				else if (message.action === 'leave' && person) person = this.leave(person);
				else if (person) this.forward(person, message);
			} catch (error) {
				this.send(socket, { type: 'error', text: error.message });
			}
		});
		socket.on('close', () => person && this.leave(person));
		socket.on('error', () => socket.terminate());
		this.send(socket, this.server());
	}

	server() {
		return { type: 'server', up: this.bridge.isUp, api: this.bridge.api, version: this.bridge.version };
	}

	join(socket, { call, name, av1Support, dcSignaling }) {
		const person = {
			socket,
			sessionID: newID(),
			userID: newID(),
			callID: callIDOf(String(call)),
			name: String(name).slice(0, MAX_NAME),
			muted: true,
			talking: false,
			showing: new Set(), // 'screen', 'video'
		};
		if (!this.bridge.isUp) throw new Error('Sluice is not reachable');
		this.people.set(person.sessionID, person);
		this.bridge.join({
			...person,
			av1Support: Boolean(av1Support),
			dcSignaling: Boolean(dcSignaling),
		});
		this.send(socket, { type: 'joined', sessionID: person.sessionID });
		this.roster(person.callID);
		return person;
	}

	leave(person) {
		if (this.people.delete(person.sessionID)) {
			this.bridge.leave(person.sessionID);
			this.roster(person.callID);
		} else {
			// The server saw the page's DTLS close before our leave: that is no end of its own.
			this.closed = this.closed.filter((sessionID) => sessionID !== person.sessionID);
		}
		return null;
	}

	forward(person, { action, data }) {
		const { sessionID } = person;
		if (action === 'sdp') return this.bridge.rtc(sessionID, RTC.SDP, unzipSDP(data));
		if (action === 'reconnect') return this.bridge.reconnect(sessionID);
		if (action in PLAIN) this.bridge.rtc(sessionID, PLAIN[action]);
		else if (action in WITH_DATA) this.bridge.rtc(sessionID, WITH_DATA[action], data);
		if (action in SHOWN) {
			const [what, on] = SHOWN[action];
			person.showing[on ? 'add' : 'delete'](what);
		}
		if (action === 'mute' || action === 'unmute') person.muted = action === 'mute';
		if (action === 'mute' || action === 'unmute' || action in SHOWN) this.roster(person.callID);
	}

	voice({ sessionID, on }) {
		this.voiceLog.push({ at: Date.now(), sessionID, on });
		if (this.voiceLog.length > 10000) this.voiceLog.shift();
		const person = this.people.get(sessionID);
		if (!person) return;
		person.talking = on;
		this.roster(person.callID);
	}

	serverClosed(sessionID) {
		const person = this.people.get(sessionID);
		if (!person) return; // the answer to our own leave
		this.closed.push(sessionID);
		this.people.delete(sessionID);
		this.send(person.socket, { type: 'close' });
		this.roster(person.callID);
	}

	// Tell everybody in a call with pictures what the server says that it sends to each of them.
	async media() {
		const calls = new Set([...this.people.values()].filter(({ showing }) => showing.size > 0).map(({ callID }) => callID));
		if (this.asking || !this.bridge.isUp || calls.size === 0) return;
		this.asking = true;
		try {
			for (const callID of calls) {
				const here = [...this.people.values()].filter((person) => person.callID === callID);
				const sessions = await Promise.all(here.map(({ sessionID }) => this.mediaOf(callID, sessionID)));
				for (const { socket } of here) this.send(socket, { type: 'media', sessions: sessions.filter(Boolean) });
			}
		} finally {
			this.asking = false;
		}
	}

	// null when the server does not tell, as rtcd.
	async mediaOf(callID, sessionID) {
		try {
			const { status, json } = await this.bridge.request('GET', `/calls/${callID}/sessions/${sessionID}/media`);
			return status === 200 ? json : null;
		} catch {
			return null;
		}
	}

	// Tell everybody in a call who is there.
	roster(callID) {
		const here = [...this.people.values()].filter((person) => person.callID === callID);
		const people = here.map(({ sessionID, name, muted, talking, showing }) => {
			return { sessionID, name, muted, talking, showing: [...showing] };
		});
		for (const person of here) this.send(person.socket, { type: 'roster', people });
	}

	to(sessionID, message) {
		const person = this.people.get(sessionID);
		if (person) this.send(person.socket, message);
	}

	toAll(message) {
		for (const socket of this.sockets.clients) this.send(socket, message);
	}

	send(socket, message) {
		if (socket.readyState === socket.OPEN) socket.send(encode(message));
	}
}
