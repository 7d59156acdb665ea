#!/usr/bin/env bash
# sluicegun against both daemons: two calls of five, voices and screens; loss and order made here are seen here; churn;
# bad use. TAP.
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=tests/interop/server.sh
. tests/interop/server.sh
gun=build/${MODE:-release}/sluicegun
n=0 failed=0
dir=$(mktemp -d)
export RUN_DIR=$dir/run
ok() { # STATUS WHAT
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		sed 's/^/# /' "$dir/err" | tail -n 10
		jq -c '.counts, .loss' "$dir/json" 2>/dev/null | sed 's/^/# /'
		failed=1
	fi
}
fire() { # ARGS...: figures to $dir/json
	rm -f "$dir/json"
	timeout 90 "$gun" --url "$SLUICE_API" --server-pid "$DP_PID,$CP_PID" --json "$dir/json" --seed 7 --quiet "$@" 2>"$dir/err"
}
is() { # CONDITION-OF-jq
	jq -e "$1" "$dir/json" >/dev/null 2>&1
}
finish() {
	server_stop
	rm -rf "$dir"
}
server_start || exit 1
trap finish EXIT

fire --calls 2 --people 5 --voices 2 --duration 4
ok $? "two calls of five people with two voices each lose nothing"
is '.counts.n_ready == 10 and .counts.n_legs == 16 and .counts.n_missing == 0'
ok $? "everybody hears everybody else who talks"
is '.steady.delivered_per_second > 700 and .steady.delivered_per_second < 900'
ok $? "50 packets a second of each voice arrive (2 x 2 x 4 x 50)"
is '.counts.n_dup == 0 and .counts.n_bad == 0 and .counts.n_path_lost == 0 and .counts.n_pongs > 30'
ok $? "no duplicates, nothing that does not authenticate, pings are answered"
is '.voice_latency_us.p50 > 0 and .join_us.n == 10 and .steady.server_cores > 0 and .steady.server_rss_mib > 1'
ok $? "latency, join times and the server's use are reported"

fire --calls 2 --people 5 --voices 2 --screens 1 --duration 4
ok $? "two calls with two voices and a screen each lose nothing"
is '.counts.n_legs == 24 and .counts.n_missing == 0 and .counts.video_in > 4000 and .counts.n_twcc > 50 and .counts.n_dup == 0'
ok $? "everybody sees the screen and reports on it"
fire --calls 1 --people 4 --voices 1 --screens 1 --duration 4 --loss 2 --max-loss 10
is '.counts.video_lost == 0 and .counts.n_nacks > 10 and .counts.n_rtx > 5 and .counts.n_resent > 0'
ok $? "video that is dropped here, on both ways, is asked for and resent"
fire --calls 1 --people 4 --voices 1 --screens 1 --simulcast --duration 5
ok $? "a screen in two layers loses nothing"

fire --calls 1 --people 4 --voices 1 --duration 3 --threads 2 --cm
ok $? "one call over two worker processes, AES128_CM_SHA1_80"

fire --calls 1 --people 5 --voices 2 --duration 3 --loss 5 --reorder 5 --max-loss 20
ok $? "5 % dropped both ways stay below the loss that is allowed"
is '.loss > 0.04 and .loss < 0.16 and .counts.n_dropped > 0 and .counts.n_late > 0'
ok $? "what is dropped and reordered here is found at the receivers"
fire --calls 1 --people 3 --voices 1 --duration 2 --loss 20
[ $? -eq 1 ] && grep -q 'lost' "$dir/err"
ok $? "exit status 1 when more is lost than --max-loss"

fire --calls 2 --people 5 --voices 2 --duration 5 --churn 120
ok $? "people mute, leave and join again, and nothing is lost"
is '.counts.n_joins > 12 and .counts.n_ready == .counts.n_joins'
ok $? "those who left came back"

kill -0 "$DP_PID" && kill -0 "$CP_PID"
ok $? "both daemons are the ones that were started"
"$gun" --people 0 2>"$dir/err"
[ $? -eq 64 ] && grep -q -- '--people' "$dir/err"
ok $? "a number out of range is refused by name"
"$gun" --url "http://127.0.0.1:1" --quiet >"$dir/out" 2>"$dir/err"
[ $? -eq 69 ] && grep -q '127.0.0.1:1' "$dir/err"
ok $? "a server that is not there: exit status 69"
echo "1..$n"
exit $failed
