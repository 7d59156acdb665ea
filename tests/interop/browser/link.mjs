// The network between one page and the server, where a test needs to break it: a UDP relay in this process, and the
// candidates that the page is told.
import { createSocket } from 'node:dgram';

const MAX_QUEUE_MS = 150; // of a slow link

// Forwards between whoever sends to `port` of 127.0.0.1 and the server.
export class Link {
	static async open(server, port) {
		const link = new Link();
		link.upstream = new Map(); // client port -> socket towards the server
		link.cut = false; // nothing passes
		link.bps = Infinity; // towards the client
		link.busyUntil = 0;
		link.dropped = 0;
		link.timers = new Set();
		link.server = { address: server, port };
		link.socket = createSocket('udp4');
		link.socket.on('message', (data, { port: from, address }) => link.up(data, from, address));
		await new Promise((resolve) => link.socket.bind(0, '127.0.0.1', resolve));
		link.port = link.socket.address().port;
		return link;
	}

	up(data, from, address) {
		if (this.cut) return;
		let socket = this.upstream.get(from);
		if (!socket) {
			socket = createSocket('udp4');
			socket.on('message', (reply) => this.down(reply, from, address));
			this.upstream.set(from, socket);
		}
		socket.send(data, this.server.port, this.server.address);
	}

	down(data, port, address) {
		if (this.cut) return;
		if (this.bps === Infinity) {
			this.socket.send(data, port, address);
			return;
		}
		const now = performance.now();
		const begin = Math.max(now, this.busyUntil);
		if (begin - now > MAX_QUEUE_MS) {
			this.dropped++;
			return;
		}
		this.busyUntil = begin + ((data.length + 28) * 8000) / this.bps;
		const timer = setTimeout(() => {
			this.timers.delete(timer);
			if (!this.cut) this.socket.send(data, port, address);
		}, this.busyUntil - now);
		this.timers.add(timer);
	}

	close() {
		this.cut = true;
		for (const timer of this.timers) clearTimeout(timer);
		for (const socket of this.upstream.values()) socket.close();
		this.socket.close();
	}
}

const CANDIDATE = /^(?:a=)?candidate:\S+ \d+ (\S+) \d+ (\S+) (\d+) /i;

// Each candidate of the server that a page is told, {protocol, address, port, line}, goes through `change`, which
// returns the line to use or null for none.
export function changeCandidates(json, change) {
	const message = JSON.parse(json);
	const changed = (line) => {
		const [, protocol, address, port] = line.match(CANDIDATE) ?? [];
		return protocol ? change({ protocol: protocol.toLowerCase(), address, port: Number(port), line }) : line;
	};
	if (message.sdp) {
		message.sdp = message.sdp.split('\r\n').map(changed).filter((line) => line !== null).join('\r\n');
	}
	if (message.candidate?.candidate) {
		const line = changed(message.candidate.candidate);
		if (line === null) return null;
		message.candidate.candidate = line;
	}
	return JSON.stringify(message);
}

// For changeCandidates: what a page is told when all goes through the link.
export const through =
	(link) =>
	({ protocol, address, port, line }) =>
		protocol === 'udp' && address === link.server.address
			? line.replace(`${address} ${port}`, `127.0.0.1 ${link.port}`)
			: null;
