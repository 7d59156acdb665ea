#!/usr/bin/env bash
# run-both, as `make run` uses it, by an ordinary user: it serves, guards its daemons, says which port is busy, and ends
# cleanly; TAP.
set -u
cd "$(dirname "$0")/../.." || exit 1
n=0 failed=0
ok() { # CONDITION-STATUS TEXT
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then echo "ok $n - $2"; else
		echo "not ok $n - $2"
		failed=1
	fi
}
free_port() { # stream|dgram
	python3 -c 'import socket,sys
s=socket.socket(socket.AF_INET,socket.SOCK_STREAM if sys.argv[1]=="stream" else socket.SOCK_DGRAM)
s.bind(("127.0.0.1",0)); print(s.getsockname()[1])' "$1"
}
# A place that another user can read and run from, wherever this checkout is.
folder=$(mktemp -d /tmp/sluice-run.XXXXXX)
pid='' holder=''
cleanup() {
	[ -z "$pid" ] || kill -TERM "$pid" 2>/dev/null
	[ -z "$holder" ] || kill "$holder" 2>/dev/null
	wait 2>/dev/null
	rm -rf "$folder"
}
trap cleanup EXIT
mkdir "$folder/bin" "$folder/run"
cp "build/${MODE:-release}"/sluice-{dp,cp} "$folder/bin/" && cp tools/devtools/run-both "$folder/" || exit 1
chmod -R go+rX "$folder"
as_user=()
if [ "$(id -u)" -eq 0 ]; then
	chown -R nobody: "$folder/run"
	as_user=(setpriv --reuid=nobody --regid=nogroup --clear-groups --inh-caps=-all --bounding-set=-all)
fi
API_PORT=$(free_port stream) MEDIA_PORT=$(free_port dgram)
export API_PORT MEDIA_PORT RUN_DIR=$folder/run
out=$folder/out err=$folder/err

start() { # VARIABLE=VALUE...: run-both in the background; waits until it serves or ends
	: >"$out"
	: >"$err"
	env "$@" "${as_user[@]}" "$folder/run-both" "$folder/bin" >"$out" 2>"$err" </dev/null &
	pid=$!
	for _ in $(seq 300); do
		grep -q '^ready: ' "$out" && return 0
		kill -0 $pid 2>/dev/null || return 1
		sleep 0.1
	done
	return 1
}
ends() { # SECONDS: status of run-both, or 124 when it goes on
	for _ in $(seq $(($1 * 10))); do
		kill -0 "$pid" 2>/dev/null || { wait "$pid"; return; }
		sleep 0.1
	done
	return 124
}
field() { sed -nE "s/^ready: .*$1=([^ ]+).*/\1/p" "$out"; }
serves() { [ "$(curl -s -m 2 -o /dev/null -w '%{http_code}' "http://127.0.0.1:$API_PORT/version")" = 200 ]; }
within() { # SECONDS COMMAND...
	local tries=$(($1 * 10))
	shift
	for _ in $(seq $tries); do
		"$@" && return 0
		sleep 0.1
	done
	return 1
}

start
ok $? "an ordinary user without capabilities gets both daemons serving"
if [ $failed -ne 0 ]; then
	sed 's/^/# /' "$out" "$err"
	exit 1
fi
[[ $(field api) == "http://127.0.0.1:$API_PORT" && $(field media) == "127.0.0.1:$MEDIA_PORT" ]]
ok $? "the ready line names the chosen ports"
serves
ok $? "GET /version is answered"
dp=$(field dp_pid) cp=$(field cp_pid)
[ "$(readlink "/proc/$dp/exe")" = "$folder/bin/sluice-dp" ] && [ "$(readlink "/proc/$cp/exe")" = "$folder/bin/sluice-cp" ]
ok $? "the ready line names the daemons' pids"

API_PORT=$API_PORT MEDIA_PORT=$(free_port dgram) RUN_DIR=$folder/other "$folder/run-both" "$folder/bin" >"$folder/busy" 2>&1
status=$?
[ $status -eq 69 ] && grep -q "Port $API_PORT (TCP).*sluice-cp (pid $cp)" "$folder/busy"
ok $? "a busy API port is named with its holder and a port to take instead, exit 69"
API_PORT=$(free_port stream) RUN_DIR=$folder/other "$folder/run-both" "$folder/bin" >"$folder/busy" 2>&1
status=$?
[ $status -eq 69 ] && grep -q "Port $MEDIA_PORT (UDP).*sluice-dp" "$folder/busy"
ok $? "so is a busy media port"

for name in cp dp; do
	old=${!name}
	kill -9 "$old"
	within 5 grep -q "^restarted: $name pid=" "$out" && within 5 serves
	ok $? "sluice-$name killed with signal 9 is started again and the API serves"
done
new_cp=$(sed -n 's/^restarted: cp pid=//p' "$out" | tail -1)
new_dp=$(sed -n 's/^restarted: dp pid=//p' "$out" | tail -1)

kill -TERM $pid
ends 10
status=$?
[ $status -eq 0 ]
ok $? "TERM ends both at once when nobody is in a call, exit 0"
[ $status -eq 0 ] || sed 's/^/# /' "$err"
! kill -0 "$new_cp" 2>/dev/null && ! kill -0 "$new_dp" 2>/dev/null
ok $? "no daemon is left"
pid=

printf 'log:\n  levle: info\n' >"$folder/bad.yaml"
chmod go+r "$folder/bad.yaml"
start EXTRA_CONFIG="$folder/bad.yaml"
ends 5
[ $? -eq 78 ] && grep -qE 'sluice.yaml:[0-9]+:[0-9]+: .*levle' "$err"
ok $? "a configuration error is shown with file, line and column, exit 78"
pid=

# In a terminal, inside make, as a person types it.
printf 'run:\n\t@%s %s\n' "$folder/run-both" "$folder/bin" >"$folder/Makefile"
rm -rf "$RUN_DIR"
timeout 60 python3 - "$folder/Makefile" <<'EOP'
import os, pty, sys, time
pid, tty = pty.fork()
if pid == 0:
    os.execvp("make", ["make", "-f", sys.argv[1], "run"])
seen, end = b"", time.time() + 40
while b"ready: " not in seen and time.time() < end:
    seen += os.read(tty, 4096)
os.write(tty, b"\x03")
try:
    while os.read(tty, 4096):
        pass
except OSError:
    pass
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
sys.exit(0 if b"ready: " in seen and status == 0 else 1)
EOP
ok $? "Ctrl-C in a terminal ends make run with exit status 0"
echo "1..$n"
exit $failed
