// The network between one person and the server, where a test needs to break it: a UDP relay in this process. Which
// candidates that person's page takes is told it by the verb `path` (candidates.mjs).
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
