#!/usr/bin/env bash
# The two daemons and the link between them, without a call: numbers in /metrics, either killed and back, a second
# sluice-dp, a stranger on the ipc socket.
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=tests/interop/server.sh
. tests/interop/server.sh
n=0 failed=0
dir=$(mktemp -d)
export RUN_DIR=$dir/run
ok() { # STATUS WHAT
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		tail -n 15 "$SERVER_LOG" | sed 's/^/# /'
		failed=1
	fi
}
# Wait until the servers' log has N lines like PATTERN (20 s at most).
logged() { # PATTERN N
	[ "$(timeout 20 grep -cE -m"${2:-1}" "$1" <(tail --pid=$SERVER_PID -n +1 -f "$SERVER_LOG"))" -ge "${2:-1}" ]
}
linked() { # N: the link has come up N times
	logged 'dataplane .*: connected' "$1"
}
value() { # NAME OF METRIC, with labels: its value
	curl -s -m 5 "$SLUICE_API/metrics" | awk -v name="$1" '$1 == name { print $2 }'
}
# shellcheck disable=SC2317 # by trap
cleanup() {
	[ -n "${SERVER_PID:-}" ] && kill -0 "$SERVER_PID" 2>/dev/null && server_stop
	rm -rf "$dir"
}
trap cleanup EXIT
server_start || exit 1
linked 1
ok $? "sluice-cp finds sluice-dp"

curl -s -m 5 "$SLUICE_API/metrics" >"$dir/metrics"
[ "$(value sluice_dp_up)" = 1 ]
ok $? "the link is up in /metrics"
repeated=$(sed -n 's/^# TYPE \([^ ]*\) .*/\1/p' "$dir/metrics" | sort | uniq -d)
[ -z "$repeated" ] || echo "# twice: $repeated"
[ -z "$repeated" ] && [ -s "$dir/metrics" ]
ok $? "no family of /metrics is there twice"
missing=0
while read -r name; do
	grep -qF "| \`$name\` |" docs/metrics.md || { echo "# not in docs/metrics.md: $name"; missing=1; }
done < <(sed -n 's/^# TYPE \([^ ]*\) .*/\1/p' "$dir/metrics" | grep -v '^sluice_dp_drops_total$')
ok $missing "docs/metrics.md explains every family"
missing=0
while read -r reason; do
	grep -q "^sluice_dp_drops_total{.*reason=\"$reason\"" "$dir/metrics" || { echo "# no reason $reason"; missing=1; }
done < <(sed -n 's/^DROP([A-Z0-9_]*, "\([a-z0-9_]*\)".*/\1/p' lib/ipc/counters.def)
[ "$(grep -c '^sluice_dp_drops_total{' "$dir/metrics")" -gt 40 ] || missing=1
ok $missing "every reason of counters.def is in /metrics"

junk() { python3 - "$MEDIA_PORT" <<'PY'
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(50):
    s.sendto(b"\xff" * 40, ("127.0.0.1", int(sys.argv[1])))
PY
}
junk
for _ in $(seq 50); do
	dropped=$(value 'sluice_dp_drops_total{reason="unknown_first_byte"}')
	[ "${dropped:-0}" = 50 ] && break
	sleep 0.1
done
[ "${dropped:-0}" = 50 ]
ok $? "50 datagrams of junk are counted by their reason"

kill -KILL "$CP_PID"
logged '^restarted: cp' && linked 2
ok $? "sluice-cp, killed, comes back and finds sluice-dp again"
kill -0 "$DP_PID"
ok $? "sluice-dp did not notice"
[ "$(value 'sluice_dp_drops_total{reason="unknown_first_byte"}')" = 50 ]
ok $? "its counters went on"

kill -KILL "$DP_PID"
logged '^restarted: dp' && linked 3
ok $? "sluice-dp, killed, comes back and is found again"
DP_PID=$(sed -n 's/^restarted: dp pid=//p' "$SERVER_LOG" | tail -1)
[ "$(value 'sluice_dp_drops_total{reason="unknown_first_byte"}')" = 0 ]
ok $? "its counters begin at 0"

before=$(value sluice_dp_connects_total)
SLUICE_RTC_ICE_PORT_UDP=$(free_port udp) SLUICE_RTC_ICE_PORT_TCP=$(free_port tcp) timeout 20 "build/${MODE:-release}/sluice-dp" --config "$RUN_DIR/sluice.yaml" \
	>"$dir/second" 2>&1
[ $? -eq 69 ] && grep -q 'another sluice-dp' "$dir/second"
ok $? "a second sluice-dp on the same socket ends with 69 and says why"
[ "$(value sluice_dp_connects_total)" = "$before" ] && [ "$(value sluice_dp_up)" = 1 ]
ok $? "and does not disturb the link of the first"

# A stranger takes the connection, speaks nonsense, and reads nothing; sluice-cp gets its place back.
# shellcheck disable=SC2317 # by declare -f
stranger() { python3 - "$1" <<'PY'
import os, socket, struct, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect(sys.argv[1])
s.recv(1024)
try:
    for i in range(2000):
        s.send(os.urandom(1 + i % 1024))
        s.send(struct.pack("<HHI", 3, 104, i) + os.urandom(96))  # CMD_SESSION_ADD before CMD_HELLO
except OSError:
    pass  # replaced by sluice-cp, or dropped
PY
}
socket=$(sed -n 's/^ *socket: "\(.*\)"/\1/p' "$RUN_DIR/sluice.yaml")
timeout 20 bash -c "$(declare -f stranger); stranger '$socket'"
for _ in $(seq 100); do
	[ "$(value sluice_dp_up)" = 1 ] && [ "$(value sluice_dp_connects_total)" -gt "$before" ] && break
	sleep 0.1
done
[ "$(value sluice_dp_up)" = 1 ]
ok $? "after a stranger on the socket the link stands again"
kill -0 "$DP_PID" && [ "$(value sluice_dp_sessions)" = 0 ]
ok $? "and nothing came of what he said"
[ "$(stat -c %a "$socket")" = 660 ]
ok $? "only user and group may connect to the socket"

grep -E 'AddressSanitizer|runtime error|broken invariant' "$SERVER_LOG" | sed 's/^/# /'
! grep -qE 'AddressSanitizer|runtime error|broken invariant' "$SERVER_LOG"
ok $? "no daemon complained of itself"
kill -TERM "$SERVER_PID"
timeout 20 tail --pid=$SERVER_PID -f /dev/null
wait "$SERVER_PID"
ok $? "SIGTERM ends both with status 0"
echo "1..$n"
exit $failed
