#!/usr/bin/env bash
# tshark dissects what leaves sluice-dp in a call of four: STUN, DTLS and SRTP, nothing malformed; TAP.
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=tests/interop/server.sh
. tests/interop/server.sh
[ "$(id -u)" -eq 0 ] || { echo "ok 1 - tshark # SKIP capturing needs root"; exit 0; }
go=$(tests/interop/find-go) || { echo "not ok 1 - no usable Go: ${go:-}"; exit 1; }
server_start || exit 1
pcap=$(mktemp "${TMPDIR:-/tmp}/sluice.XXXXXX")
tshark -q -i lo -f "udp src port $MEDIA_PORT" -w "$pcap" 2>"$pcap.err" &
capture=$!
trap 'kill $capture 2>/dev/null; server_stop; rm -f "$pcap" "$pcap.err"' EXIT
for _ in $(seq 100); do
	grep -q "Capturing" "$pcap.err" && break
	sleep 0.1
done
(cd tests/interop/go && GOFLAGS=-buildvcs=false "$go" run ./cmd/load -api "$SLUICE_API" -people 4 -voices 2 -seconds 3) >/dev/null || {
	echo "not ok 1 - the call to capture failed"
	exit 1
}
sleep 0.5
kill -INT $capture
wait $capture 2>/dev/null
# Payload types 96 to 127 by the RTP heuristic; DTLS and STUN by their own.
dissect() { tshark -r "$pcap" -o rtp.heuristic_rtp:TRUE --enable-heuristic rtp_udp --enable-heuristic stun_udp "$@" 2>/dev/null; }
n=0
check() { # TEXT COUNT CONDITION
	n=$((n + 1))
	if test "$2" "$3" "$4"; then echo "ok $n - $1 ($2)"; else echo "not ok $n - $1: $2, want $3 $4"; fi
}
check "STUN responses" "$(dissect -Y 'stun.type == 0x0101' | wc -l)" -ge 4
check "DTLS records" "$(dissect -Y 'dtls.record' | wc -l)" -ge 8
check "SRTP packets" "$(dissect -Y 'rtp' | wc -l)" -ge 300
check "SRTCP packets" "$(dissect -Y 'rtcp || srtcp' | wc -l)" -ge 1
check "malformed packets" "$(dissect -Y '_ws.malformed' | wc -l)" -eq 0
check "STUN with a bad fingerprint" "$(dissect -Y 'stun.att.crc32.status == "Bad" || stun.att.crc32.status == 0' | wc -l)" -eq 0
check "packets tshark can make nothing of" "$(dissect -Y 'data && !dtls && !rtp && !stun && !rtcp' | wc -l)" -eq 0
