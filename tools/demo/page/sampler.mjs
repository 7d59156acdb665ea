// Reads the peer connection's statistics once a second and turns counters into what people want to know.
const HISTORY = 30; // samples, one a second

export class Sampler {
	constructor(participant) {
		this.participant = participant;
		this.old = new Map(); // stats id -> last counters
		this.history = new Map(); // stream key -> kbit/s, newest last
	}

	// {path, up: stream or null, down: [stream]}; a stream: {key, from, packets, lost, jitterMs, rttMs, kbps, history}
	async sample() {
		const { peer } = this.participant;
		if (!peer) return null;
		const report = await peer.getStats();
		const from = this.participant.senders();
		const path = { rttMs: peer.getRTT() * 1000 };
		const down = [];
		let up = null;
		for (const entry of report.values()) {
			if (entry.type === 'transport') this.transport(path, entry, report);
			else if (entry.type === 'inbound-rtp' && entry.kind === 'audio') down.push(this.inbound(entry, from));
			else if (entry.type === 'outbound-rtp' && entry.kind === 'audio') up = this.outbound(entry, report);
			if (entry.type === 'codec' && entry.mimeType.startsWith('audio/')) path.codec = codecName(entry);
		}
		// A line that now carries somebody else has a new SSRC: only what the server still sends counts.
		const live = down.filter((stream) => stream.from !== null);
		return { path, up, down: [...new Map(live.map((stream) => [stream.from, stream])).values()] };
	}

	transport(path, entry, report) {
		const pair = report.get(entry.selectedCandidatePairId);
		const remote = report.get(pair?.remoteCandidateId);
		if (remote) path.address = `${remote.address ?? remote.ip}:${remote.port} ${remote.protocol}`;
		path.cipher = cipherName(entry.srtpCipher ?? '');
		path.tls = tlsName(entry.tlsVersion);
	}

	inbound(entry, from) {
		const { packetsReceived: packets, packetsLost: lost, bytesReceived, jitter } = entry;
		return { from: from[entry.mid] ?? null, packets, lost, jitterMs: jitter * 1000, ...this.rate(entry, bytesReceived) };
	}

	outbound(entry, report) {
		const remote = report.get(entry.remoteId);
		return {
			packets: entry.packetsSent,
			lost: remote?.packetsLost ?? 0,
			rttMs: remote?.roundTripTime === undefined ? null : remote.roundTripTime * 1000,
			jitterMs: remote ? remote.jitter * 1000 : null,
			...this.rate(entry, entry.bytesSent),
		};
	}

	rate(entry, bytes) {
		const old = this.old.get(entry.id);
		this.old.set(entry.id, { bytes, at: entry.timestamp });
		const history = this.history.get(entry.id) ?? [];
		this.history.set(entry.id, history);
		const seconds = old ? (entry.timestamp - old.at) / 1000 : 0;
		const kbps = seconds > 0 ? ((bytes - old.bytes) * 8) / 1000 / seconds : 0;
		if (seconds > 0) history.push(kbps);
		if (history.length > HISTORY) history.shift();
		return { key: entry.id, kbps, history };
	}
}

const codecName = ({ mimeType, clockRate, channels }) =>
	`${mimeType.replace('audio/', '')} ${clockRate / 1000} kHz${channels === 2 ? ' stereo' : ''}`;

function cipherName(name) {
	const known = { AES128_CM_HMAC_SHA1_80: 'AES-128-CM', AEAD_AES_128_GCM: 'AES-128-GCM', AEAD_AES_256_GCM: 'AES-256-GCM' };
	const plain = name.replace(/^SRTP_/, '');
	return known[plain] ?? plain;
}

function tlsName(version) {
	return { FEFD: 'DTLS 1.2', FEFC: 'DTLS 1.3', FEFF: 'DTLS 1.0' }[version] ?? 'DTLS';
}

// The path of a sparkline in a box of 100 by 30, scaled to at least 60 kbit/s.
export function spark(history) {
	if (history.length < 2) return { line: '', fill: '' };
	const top = Math.max(60, ...history) * 1.1;
	const x = (i) => 100 - (history.length - 1 - i) * (100 / (HISTORY - 1));
	const points = history.map((kbps, i) => `${x(i).toFixed(1)} ${(29 - (28 * kbps) / top).toFixed(1)}`);
	const line = 'M' + points.join('L');
	return { line, fill: `${line}L100 30L${x(0).toFixed(1)} 30Z` };
}
