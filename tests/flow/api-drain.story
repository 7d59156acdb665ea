#!/usr/bin/env bash
# D32: SIGTERM with a session: calls that exist still take joins, new ones are refused, /system says busy; the
# end comes with the last session, at drain.max_s, or with a second signal. The session is a bare join by hand.
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=tests/interop/server.sh
. tests/interop/server.sh
build=build/${MODE:-release}
dir=$(mktemp -d) n=0 failed=0 pids=()
while IFS= read -r name; do unset "$name"; done < <(compgen -e | grep -E '^(SLUICE|RTCD)_')
cleanup() {
	local p
	for p in "${pids[@]}"; do kill -KILL "$p" 2>/dev/null; done
	wait 2>/dev/null
	rm -rf "$dir"
}
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
within() { # SECONDS COMMAND...
	local tries=$(($1 * 20))
	shift
	for _ in $(seq $tries); do
		"$@" && return 0
		sleep 0.05
	done
	return 1
}
gone() { ! kill -0 "$1" 2>/dev/null; }
is() { [ "$("${@:2}")" = "$1" ]; }
key=0123456789abcdef0123456789abcdef

# cp FIRST_OFFER_S MAX_S: a sluice-cp beside the running sluice-dp; sets url, cp
cp_start() {
	cat >"$dir/cp.yaml" <<-YAML
		api:
		  listen: "127.0.0.1:$port"
		  security:
		    allow_self_registration: true
		rtc:
		  ice_port_udp: $media
		  ice_address_udp: [127.0.0.1]
		  first_offer_s: $1
		store:
		  url: "lmdb:$dir/db"
		dataplane:
		  socket: "$dir/dp.sock"
		drain:
		  max_s: $2
	YAML
	"$build/sluice-cp" --config "$dir/cp.yaml" 2>"$dir/cp.log" &
	cp=$!
	pids+=("$cp")
	within 10 grep -q 'serving on' "$dir/cp.log"
	url=http://127.0.0.1:$port
}
# A client frame with a mask of zeros: header, then the payload as it is.
frame() { # PAYLOAD (printf escapes, up to 125 bytes)
	local len
	# shellcheck disable=SC2059
	len=$(printf "$1" | wc -c)
	# shellcheck disable=SC2059
	printf "\\x82\\x$(printf %x $((128 + len)))\\x00\\x00\\x00\\x00$1"
}
join() { # CALL USER SESSION (two characters each)
	frame "\\xa4join\\x86\\xa6callID\\xa2$1\\xa6userID\\xa2$2\\xa9sessionID\\xa2$3\\xa9channelID\\xa3ch1\\xaaav1Support\\xc3\\xabdcSignaling\\xc2" >&"$ws"
}
ws_open() { # sets ws; what arrives goes to $dir/in
	exec {ws}<>"/dev/tcp/127.0.0.1/$port"
	printf 'GET /ws HTTP/1.1\r\nHost: x\r\nAuthorization: Basic %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n' \
		"$(printf 'a:%s' $key | base64 -w0)" >&"$ws"
	: >"$dir/in"
	timeout 60 cat <&"$ws" >"$dir/in" &
	pids+=($!)
	within 5 grep -qa hello "$dir/in"
}
sessions() { curl -s -u "a:$key" "$url/calls/$1/sessions"; }
closed() { LC_ALL=C grep -qaF "$(printf 'close\x81\xa9sessionID\xa2%s' "$1")" "$dir/in"; }
listed() { [[ $(sessions "$1") == *"\"SessionID\":\"$2\""* ]]; }
restored() { [ "$(curl -s -o /dev/null -w '%{http_code}' -u "a:$key" "$url/calls/zz/sessions")" = 404 ]; }

port=$(free_port tcp) media=$(free_port udp)
printf 'rtc:\n  ice_port_udp: %s\n  ice_address_udp: [127.0.0.1]\ndataplane:\n  socket: "%s"\n' "$media" "$dir/dp.sock" >"$dir/dp.yaml"
"$build/sluice-dp" --config "$dir/dp.yaml" 2>"$dir/dp.log" &
pids+=($!)

cp_start 4 60
curl -s -o /dev/null -d "{\"clientID\":\"a\",\"authKey\":\"$key\"}" "$url/register"
check "is ready when both processes have met" within 20 restored
ws_open
join c1 u1 s1
check "a session is listed as rtcd lists it" within 5 is \
	'[{"GroupID":"a","CallID":"c1","UserID":"u1","SessionID":"s1","Props":{"av1Support":true,"channelID":"ch1","dcSignaling":false}}]' sessions c1
check "and alone" is '{"GroupID":"a","CallID":"c1","UserID":"u1","SessionID":"s1","Props":{"av1Support":true,"channelID":"ch1","dcSignaling":false}}' \
	curl -s -u "a:$key" "$url/calls/c1/sessions/s1"
check "404 for another session, in rtcd's words" is "failed to get session config: session not found" curl -s -u "a:$key" "$url/calls/c1/sessions/s9"
check "404 for another call" is "failed to get session configs: call not found" sessions c9
kill -TERM "$cp"
within 5 grep -q draining "$dir/cp.log"
check "D32: /system says more than any load while draining" is '{"cpu_load":500000}' curl -s "$url/system"
check "D32: /metrics says draining" is 1 eval "curl -s $url/metrics | sed -n 's/^sluice_draining //p'"
join c2 u2 s2
check "D32, D53: a join that makes a new call is refused by close" within 5 closed s2
join c1 u3 s3
check "a join to the existing call is taken" within 5 listed c1 s3
check "ends by itself with the last session" within 20 gone "$cp"
wait "$cp"
check "with status 0" test $? = 0
check "sessions without an offer were closed with close" eval 'closed s1 && closed s3'
exec {ws}>&-

cp_start 50 2
within 20 restored
ws_open
join c1 u1 s1
within 5 listed c1 s1
begin=$(date +%s%N)
kill -TERM "$cp"
check "D32: drain.max_s bounds the wait" within 20 gone "$cp"
took=$((($(date +%s%N) - begin) / 1000000))
check "to its value ($took ms)" test "$took" -ge 1900 -a "$took" -le 6000
check "and the sessions end with close" within 5 closed s1
exec {ws}>&-

cp_start 50 60
within 20 restored
ws_open
join c1 u1 s1
within 5 listed c1 s1
kill -TERM "$cp"
within 5 grep -q draining "$dir/cp.log"
kill -TERM "$cp"
check "D32: a second signal ends it at once" within 5 gone "$cp"
wait "$cp"
check "with status 0 too" test $? = 0
check "and the session ends with close" within 5 closed s1

echo "1..$n"
exit $failed
