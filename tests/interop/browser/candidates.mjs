// In the page: which of the server's candidates a person takes, whether they come by WebSocket or by data channel.
const CANDIDATE = /^(?:a=)?candidate:\S+ \d+ (\S+) \d+ (\S+) (\d+) /i;

// path: {only: 'tcp' | 'IPv6'} or {link: port}, a relay at 127.0.0.1 through which all must go, or null for all
function take(line, path) {
	const [, protocol, address, port] = line.match(CANDIDATE) ?? [];
	if (!protocol || !path) return line;
	if (path.only === 'tcp') return protocol.toLowerCase() === 'tcp' ? line : null;
	if (path.only === 'IPv6') return address.includes(':') ? line : null;
	if (protocol.toLowerCase() !== 'udp' || address !== '127.0.0.1') return null;
	return line.replace(`${address} ${port}`, `${address} ${path.link}`);
}

// A message of the server as this person is told it; null for none.
export function alongPath(json, path) {
	const message = JSON.parse(json);
	if (message.sdp) {
		const lines = message.sdp.split('\r\n').map((line) => take(line, path));
		message.sdp = lines.filter((line) => line !== null).join('\r\n');
	}
	if (message.candidate?.candidate) {
		message.candidate.candidate = take(message.candidate.candidate, path);
		if (message.candidate.candidate === null) return null;
	}
	return JSON.stringify(message);
}

// Where the server has its UDP port at 127.0.0.1, from what a page was told; null if nowhere.
export function udpPort(sdp) {
	for (const line of sdp.split('\r\n')) {
		const [, protocol, address, port] = line.match(CANDIDATE) ?? [];
		if (protocol?.toLowerCase() === 'udp' && address === '127.0.0.1') return Number(port);
	}
	return null;
}
