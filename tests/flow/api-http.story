#!/usr/bin/env bash
# sluice-cp alone, as its port shows it: routes, TLS, slow and odd clients, silent WebSockets, drain.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=build/${MODE:-release}
dir=$(mktemp -d) n=0 failed=0 pids=()
while IFS= read -r name; do unset "$name"; done < <(compgen -e | grep -E '^(SLUICE|RTCD)_')
cleanup() {
	local p
	for p in "${pids[@]}"; do kill -KILL "$p" 2>/dev/null; done
	rm -rf "$dir"
}
trap cleanup EXIT

check() { # WHAT CONDITION...: a test is a command that succeeds
	local what=$1
	shift
	n=$((n + 1))
	if "$@"; then
		echo "ok $n - $what"
	else
		echo "not ok $n - $what"
		failed=1
	fi
}
has() { grep -qF -- "$2" <<<"$1"; }
free_port() {
	python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'
}
# start NAME [YAML]: a sluice-cp; sets port, pid, log
start() {
	port=$(free_port) log=$dir/$1.log
	printf 'api:\n  listen: "127.0.0.1:%s"\n  security:\n    allow_self_registration: true\n%b\nstore:\n  url: "lmdb:%s"\ndataplane:\n  socket: "%s"\n' \
		"$port" "${2:-}" "$dir/$1.db" "$dir/none.sock" >"$dir/$1.yaml"
	"$build/sluice-cp" --config "$dir/$1.yaml" 2>"$log" &
	pid=$!
	pids+=("$pid")
	for _ in $(seq 100); do
		grep -q 'serving on' "$log" && return
		kill -0 $pid 2>/dev/null || break
		sleep 0.05
	done
	echo "# sluice-cp did not start"
	sed 's/^/# /' "$log"
}
ended() { # PID SECONDS
	for _ in $(seq $(($2 * 20))); do
		kill -0 "$1" 2>/dev/null || return 0
		sleep 0.05
	done
	return 1
}

start plain
url=http://127.0.0.1:$port key=0123456789abcdef0123456789abcdef
body="{\"clientID\":\"a\",\"authKey\":\"$key\"}"
check "D52: /version has a semver of at least v1.2.0 and says who we are" \
	has "$(curl -s "$url"/version)" '"buildVersion":"v1.2.6+sluice.'
check "a wrong method is the 404 of an unknown path" test "$(curl -s -X DELETE "$url"/version)" = "$(curl -s "$url"/nothing)"
check "registers with 201" test "$(curl -s -o /dev/null -w '%{http_code}' -d "$body" "$url"/register)" = 201
check "registers an id once" has "$(curl -s -d "$body" "$url"/register)" '"error":"registration failed: already registered"'
check "D5: 413 for a body of 1 MB, told while it is sent" test \
	"$(head -c 1000000 /dev/zero | curl -s -o /dev/null -w '%{http_code}' --data-binary @- "$url"/login)" = 413
check "D5: 413 for an endless chunked body" test \
	"$(head -c 3000000 /dev/zero | curl -s -o /dev/null -w '%{http_code}' -H 'Transfer-Encoding: chunked' -H 'Expect:' --data-binary @- "$url"/login)" = 413
if [ "${MODE:-release}" = release ]; then # sanitizers need more system calls than the list has
	check "seccomp is on and no new privileges" test \
		"$(grep -cE '^(Seccomp:\s+2|NoNewPrivs:\s+1)$' "/proc/$pid/status")" = 2
fi

# A raw WebSocket: handshake by hand, then whatever a test sends.
auth=$(printf 'a:%s' $key | base64 -w0)
ws_open() { # sets fd
	exec {fd}<>"/dev/tcp/127.0.0.1/$port"
	printf 'GET /ws HTTP/1.1\r\nHost: x\r\nAuthorization: Basic %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n' "$auth" >&"$fd"
}
ws_open
begin=$(date +%s%N)
timeout 40 cat <&"$fd" >"$dir/silent" # until the server ends it
took=$((($(date +%s%N) - begin) / 1000000))
exec {fd}>&-
check "says 101, then hello with clientID and connID" env LC_ALL=C grep -qaE 'hello.*clientID.*a.*connID' "$dir/silent"
check "pings each 10 s and drops a silent WebSocket after 20 s ($took ms)" test "$took" -ge 19000 -a "$took" -le 26000
# The ping of the 20th second and the end are due together: either may come first.
check "a ping came before the end, and no close frame" grep -qE '[0-9a-f]8900(8900)?$' <(
	tail -c +150 "$dir/silent" | xxd -p | tr -d '\n')

for _ in $(seq 300); do # half a request each, kept open
	exec {half}<>"/dev/tcp/127.0.0.1/$port" && printf 'GET /half' >&"$half"
done 2>/dev/null
check "answers while 300 half requests are open" test "$(curl -s -m 5 -o /dev/null -w '%{http_code}' "$url"/system)" = 200

n_fds() { find "/proc/$pid/fd" -mindepth 1 | wc -l; }
for _ in $(seq 300); do exec {half}>&- 2>/dev/null; half=$((half - 1)); done
settled() { for _ in $(seq 100); do [ "$(n_fds)" -le "$1" ] && return 0; sleep 0.1; done; return 1; }
for i in $(seq 60); do # noise: raw, as a request line, as a body, as frames of a WebSocket
	exec {noise}<>"/dev/tcp/127.0.0.1/$port"
	case $((i % 4)) in
	1) printf 'GET /' >&"$noise" ;;
	2) printf 'POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n' >&"$noise" ;;
	3) printf 'GET /ws HTTP/1.1\r\nHost: x\r\nAuthorization: Basic %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n' "$auth" >&"$noise"
		read -r -t 5 _ <&"$noise" ;;
	esac
	head -c 50000 /dev/urandom >&"$noise"
	exec {noise}>&-
done 2>/dev/null
check "answers after noise of four kinds" test "$(curl -s -m 5 -o /dev/null -w '%{http_code}' "$url"/system)" = 200
check "and leaves no descriptor open ($(n_fds))" settled 24
kill -TERM "$pid"
check "SIGTERM without sessions ends it at once" ended "$pid" 5
wait "$pid"
check "with status 0" test $? = 0
check "nothing was left watched or leaked" test "$(grep -cE 'still watched|Sanitizer' "$log")" = 0

if openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
	-keyout "$dir/key.pem" -out "$dir/cert.pem" 2>/dev/null; then
	start tls "  tls:\n    enable: true\n    cert_file: \"$dir/cert.pem\"\n    key_file: \"$dir/key.pem\""
	check "serves TLS" test "$(curl -sk -o /dev/null -w '%{http_code}' "https://127.0.0.1:$port/system")" = 200
	check "plain HTTP on the TLS port gets nothing" test "$(curl -s -m 5 -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/version")" = 000
	check "TLS 1.1 is refused" bash -c "! openssl s_client -connect 127.0.0.1:$port -tls1_1 </dev/null >/dev/null 2>&1"
	check "HTTP/1.1 is agreed on by ALPN" has \
		"$(openssl s_client -connect "127.0.0.1:$port" -alpn h2,http/1.1 </dev/null 2>/dev/null)" 'ALPN protocol: http/1.1'
	curl -sk -o /dev/null -d "$body" "https://127.0.0.1:$port/register"
	check "a WebSocket opens over TLS" test "$(curl -sk -m 2 -o /dev/null -w '%{http_code}' --http1.1 -u "a:$key" \
		-H 'Upgrade: websocket' -H 'Connection: Upgrade' -H 'Sec-WebSocket-Version: 13' \
		-H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' "https://127.0.0.1:$port/ws")" = 101
	head -c 300000 /dev/zero | tr '\0' x >"$dir/big"
	check "D5: 413 over TLS" test "$(curl -sk -o /dev/null -w '%{http_code}' --data-binary "@$dir/big" "https://127.0.0.1:$port/login")" = 413
	kill -TERM $pid
	ended "$pid" 5
fi

start busy
url=http://127.0.0.1:$port
taken="$build/sluice-cp --config $dir/busy.yaml"
sed -i "s/busy.db/other.db/" "$dir/busy.yaml"
$taken 2>"$dir/taken" &
other=$!
ended "$other" 10
wait "$other"
check "a taken port ends with 69 and names the fix" test $? = 69 -a -n "$(grep 'change api.listen' "$dir/taken")"
kill -INT "$pid"
check "SIGINT ends it too" ended "$pid" 5

echo "1..$n"
exit $failed
