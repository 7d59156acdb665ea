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

capture_call() { # LOAD-ARGUMENTS: a call of four, both directions, into $pcap
	tshark -q -i lo -f "udp port $MEDIA_PORT" -w "$pcap" 2>"$pcap.err" &
	capture=$!
	for _ in $(seq 100); do
		grep -q "Capturing" "$pcap.err" && break
		sleep 0.1
	done
	(cd tests/interop/go && GOFLAGS=-buildvcs=false "$go" run ./cmd/load -api "$SLUICE_API" -people 4 -voices 2 \
		-seconds 3 "$@") >/dev/null || {
		echo "not ok 1 - the call to capture failed"
		exit 1
	}
	sleep 0.5
	kill -INT $capture
	wait $capture 2>/dev/null
	capture=
}
# From the DTLS handshake tshark learns what is SRTP and SRTCP; what the server sent is judged.
dissect() { tshark -r "$pcap" --enable-heuristic stun_udp -Y "udp.srcport == $MEDIA_PORT && ($1)" 2>/dev/null | wc -l; }
n=0
check() { # TEXT COUNT OPERATOR BOUND
	n=$((n + 1))
	if test "$2" "$3" "$4"; then echo "ok $n - $1 ($2)"; else echo "not ok $n - $1: $2, want $3 $4"; fi
}
judge() { # PROFILE MALFORMED-FILTER
	check "$1: STUN responses" "$(dissect 'stun.type == 0x0101')" -ge 4
	check "$1: DTLS records" "$(dissect dtls.record)" -ge 8
	check "$1: SRTP packets" "$(dissect 'rtp || srtp')" -ge 300
	check "$1: SRTCP packets" "$(dissect 'rtcp || srtcp')" -ge 4
	check "$1: malformed packets" "$(dissect "$2")" -eq 0
	check "$1: STUN with a bad fingerprint" "$(dissect 'stun.att.crc32.status == 0')" -eq 0
	check "$1: packets of no known protocol" "$(dissect '!stun && !dtls && !rtp && !srtp && !rtcp && !srtcp')" -eq 0
}
# tshark 4.0 looks for the index word of SRTCP where AES-CM has it (RFC 3711), also under AEAD where it stands
# behind the tag (RFC 7714 section 9): there it takes ciphertext for reports. So SRTCP is judged under AES-CM.
capture_call
judge AEAD_AES_128_GCM '_ws.malformed && !srtcp && !rtcp'
capture_call -cm
judge AES128_CM_SHA1_80 _ws.malformed
