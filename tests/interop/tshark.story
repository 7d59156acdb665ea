#!/usr/bin/env bash
# tshark dissects what leaves sluice-dp in calls of four: STUN, DTLS and SRTP, nothing malformed; TAP.
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=tests/interop/server.sh
. tests/interop/server.sh
[ "$(id -u)" -eq 0 ] || { echo "ok 1 - tshark # SKIP capturing needs root"; exit 0; }
go=$(tests/interop/find-go) || { echo "not ok 1 - no usable Go: ${go:-}"; exit 1; }
server_start || exit 1
pcap=$(mktemp "${TMPDIR:-/tmp}/sluice.XXXXXX") capture=
trap '[ -z "$capture" ] || kill $capture; server_stop; rm -f "$pcap" "$pcap.err"' EXIT

capture_call() { # of four, both directions, into $pcap
	tshark -q -i lo -f "udp port $MEDIA_PORT" -w "$pcap" 2>"$pcap.err" &
	capture=$!
	for _ in $(seq 100); do
		grep -q "Capturing" "$pcap.err" && break
		sleep 0.1
	done
	(cd tests/interop/go && GOFLAGS=-buildvcs=false "$go" run ./cmd/load -api "$SLUICE_API" -people 4 -voices 2 \
		-seconds 3) >/dev/null || {
		echo "not ok 1 - the call to capture failed"
		exit 1
	}
	sleep 0.5
	kill -INT $capture
	wait $capture 2>/dev/null
	capture=
}
# From the DTLS handshake tshark learns what is SRTP and SRTCP; what the server sent is judged.
dissect() { # FILTER: how many packets
	local out
	out=$(tshark -r "$pcap" --enable-heuristic rtp_udp --enable-heuristic stun_udp \
		-Y "udp.srcport == $MEDIA_PORT && ($1)" 2>"$pcap.err") || { sed 's/^/# /' "$pcap.err" >&2; echo -1; return; }
	[ -z "$out" ] && echo 0 || wc -l <<<"$out"
}
n=0
check() { # TEXT COUNT OPERATOR BOUND
	n=$((n + 1))
	if test "$2" "$3" "$4"; then echo "ok $n - $1 ($2)"; else echo "not ok $n - $1: $2, want $3 $4"; fi
}
capture_call
check "STUN responses" "$(dissect 'stun.type == 0x0101')" -ge 4
check "DTLS records" "$(dissect dtls.record)" -ge 8
check "SRTP packets" "$(dissect rtp)" -ge 300
check "SRTCP packets" "$(dissect srtcp)" -ge 4
# tshark 4.0 looks for the index word of SRTCP where AES-CM has it (RFC 3711), also under AEAD where it stands
# behind the tag (RFC 7714 section 9); there it now and then takes ciphertext for reports. lib/seal's tests against
# libsrtp2 and Pion judge those.
check "malformed packets but SRTCP" "$(dissect '_ws.malformed && !srtcp')" -eq 0
check "STUN with a bad fingerprint" "$(dissect 'stun.att.crc32.status == 0')" -eq 0
# Nor does it know a compound that begins with feedback (RFC 5506): packet types 205 and 206.
feedback="udp.payload[1:1] == cd || udp.payload[1:1] == ce"
check "packets of no known protocol" "$(dissect "!stun && !dtls && !rtp && !srtcp && !($feedback)")" -eq 0
