#!/usr/bin/env bash
# Two sluice-cp and one Redis: shared credentials, the node registry, Redis away and back, nothing secret in it.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=build/${MODE:-release}
if ! command -v redis-server >/dev/null || ! command -v redis-cli >/dev/null; then
	echo "ok 1 - two nodes # SKIP redis-server and redis-cli are not installed"
	echo "1..1"
	exit 0
fi
dir=$(mktemp -d) n=0 failed=0 pids=()
while IFS= read -r name; do unset "$name"; done < <(compgen -e | grep -E '^(SLUICE|RTCD)_')
cleanup() {
	local p
	for p in "${pids[@]}"; do kill -KILL "$p" 2>/dev/null; done
	[ -n "${KEEP:-}" ] || rm -rf "$dir"
}
[ -n "${KEEP:-}" ] && dir=$KEEP
trap cleanup EXIT
check() { # WHAT COMMAND...
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
within() { # SECONDS COMMAND...: succeeds when the command does, soon enough
	local tries=$(($1 * 10))
	shift
	for _ in $(seq $tries); do
		"$@" && return 0
		sleep 0.1
	done
	return 1
}
free_port() {
	python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'
}
redis_port=$(free_port)
redis_start() {
	redis-server --port "$redis_port" --bind 127.0.0.1 --requirepass pw --save '' --appendonly no --dir "$dir" >/dev/null &
	redis=$!
	pids+=("$redis")
	within 10 cli ping >/dev/null
}
cli() { redis-cli -p "$redis_port" -a pw --no-auth-warning -n 2 "$@" 2>/dev/null; }
# node NAME: a sluice-cp; sets NAME_url, NAME_pid
node() {
	local port
	port=$(free_port)
	printf 'api:\n  listen: "127.0.0.1:%s"\n  security:\n    allow_self_registration: true\nstore:\n  url: "redis://:pw@127.0.0.1:%s/2"\n  node_id: "%s"\ndataplane:\n  socket: "%s"\n' \
		"$port" "$redis_port" "$1" "$dir/none.sock" >"$dir/$1.yaml"
	"$build/sluice-cp" --config "$dir/$1.yaml" 2>"$dir/$1.log" &
	pids+=($!)
	printf -v "$1_pid" %s $!
	printf -v "$1_url" %s "http://127.0.0.1:$port"
	within 10 grep -q 'serving on' "$dir/$1.log"
}
code() { curl -s -m 15 -o /dev/null -w '%{http_code}' "$@"; }
key=0123456789abcdef0123456789abcdef
upgrade() { # CLIENT: the request
	printf 'GET /ws HTTP/1.1\r\nHost: x\r\nAuthorization: Basic %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n' \
		"$(printf '%s:%s' "$1" $key | base64 -w0)"
}
ws() { # URL CLIENT: status of an upgrade (101: the WebSocket was opened, and is closed again)
	local sock line
	exec {sock}<>"/dev/tcp/127.0.0.1/${1##*:}" || return
	upgrade "$2" >&"$sock"
	read -r -t 15 _ line _ <&"$sock"
	exec {sock}>&-
	echo "$line"
}
reg() { code -d "{\"clientID\":\"$2\",\"authKey\":\"$key\"}" "$1/register"; }
metric() { curl -s "$1/metrics" | sed -n "s/^$2 //p"; }
has_hash() { cli get "sluice:cred:$1" | grep -qF '"hash":"$2a$10$'; }
is() { [ "$("${@:2}")" = "$1" ]; }

one_url='' two_url='' three_url='' one_pid='' # node sets them
redis_start
node one
node two
check "registers at one" is 201 reg "$one_url" c1
check "connects at two" is 101 ws "$two_url" c1
check "an id is registered once over both" is 400 reg "$two_url" c1
check "another at two, connects at one" is "201 101" eval 'echo $(reg $two_url c2) $(ws $one_url c2)'
token=$(curl -s -d "{\"clientID\":\"c1\",\"authKey\":\"$key\"}" "$one_url/login" | sed -E 's/.*bearerToken":"([^"]*).*/\1/')
check "a token of one opens two" is 200 eval "code -H 'Authorization: Bearer $token' -d '{\"clientID\":\"c1\"}' $two_url/unregister"
check "D12: a client unregistered at two is refused at one soon" within 25 is 401 ws "$one_url" c1
check "both nodes are in the registry, with load and expiry" \
	eval '[ "$(cli --scan --pattern "sluice:node:*" | sort | tr "\n" " ")" = "sluice:node:one sluice:node:two " ] &&
	cli get sluice:node:one | grep -q "\"load\":[0-9.]*,\"sessions\":0" && [ "$(cli ttl sluice:node:one)" -gt 5 ]'
dump() { cli --scan | while read -r k; do echo "$k $(cli get "$k")"; done; }
check "no secret is readable: neither key nor token" eval "! dump | grep -qE '$key|$token'"
check "values are JSON" eval 'dump | grep -v "^session/" | cut -d" " -f2- | python3 -c "import json,sys; [json.loads(l) for l in sys.stdin]"'

# An open WebSocket at one must end when two unregisters its client.
exec {fd}<>"/dev/tcp/127.0.0.1/${one_url##*:}"
upgrade c2 >&"$fd"
timeout 30 cat <&"$fd" >"$dir/open" &
reader=$!
within 5 grep -qa hello "$dir/open"
code -u "c2:$key" -d '{"clientID":"c2"}' "$two_url/unregister" >/dev/null
wait $reader
check "D12: its WebSocket at the other node is closed with 1008" eval 'xxd -p "$dir/open" | tr -d "\n" | grep -q "03f0"'
exec {fd}>&-

check "registers c3" is 201 reg "$one_url" c3
kill -KILL "$redis"
wait "$redis" 2>/dev/null
check "Redis dies: /metrics says so" within 10 is 0 metric "$one_url" sluice_store_up
check "and the log" grep -q 'going on from memory' "$dir/one.log"
check "what memory holds still opens" is 101 ws "$one_url" c3
check "a new registration is refused with the reason" eval \
	'[ "$(curl -s -m 15 -d "{\"clientID\":\"c4\",\"authKey\":\"$key\"}" "$one_url/register")" = "{\"code\":\"503\",\"error\":\"registration failed: credential store not reachable\"}" ]'
node three
check "a node starts while Redis is away" is 200 code "$three_url/system"
check "and says why it knows nobody" eval '[ "$(curl -s -m 15 -u "c3:$key" "$three_url/ws")" = "authentication failed: credential store not reachable" ]'
redis_start
check "Redis comes back empty: credentials are written again" within 20 has_hash c3
check "and every node is back in the registry" within 20 eval '[ "$(cli --scan --pattern "sluice:node:*" | wc -l)" = 3 ]'
check "the new node learns them" within 20 is 101 ws "$three_url" c3
check "one says it is up again" within 10 is 1 metric "$one_url" sluice_store_up
kill -TERM "$one_pid"
check "a node that ends leaves the registry" within 10 eval '[ -z "$(cli get sluice:node:one)" ]'
check "and two goes on" is 101 ws "$two_url" c3

echo "1..$n"
exit $failed
