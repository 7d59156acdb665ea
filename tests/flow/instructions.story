#!/usr/bin/env bash
# Sending a packet takes no more instructions than tests/perf/baseline.json says, with a tolerance in percent that lets
# another compiler or library build pass. `make bench-baseline` writes a new baseline: say in the commit why it moved.
set -u
cd "$(dirname "$0")/../.." || exit 1
if ! grep -qw avx2 /proc/cpuinfo || ! grep -qw aes /proc/cpuinfo; then
	echo "1..0 # SKIP this CPU has no AVX2 and AES instructions"
	exit 0
fi
rows=$(mktemp)
trap 'rm -f "$rows"' EXIT
echo 1..5
if tests/perf/instructions >"$rows"; then
	echo "ok 1 - callgrind counts the fan-out"
else
	echo "not ok 1 - callgrind counts the fan-out"
	exit 1
fi
status=0 n=1
for case in voice_gcm128 video_gcm128 voice_cm80 video_cm80; do
	n=$((n + 1))
	verdict=$(jq -r -n --arg case "$case" --slurpfile base tests/perf/baseline.json --slurpfile rows "$rows" '
		($rows[] | select(.case == $case)) as $now | $base[0] as $b | $b.cases[$case] as $was |
		(1 + $b.tolerance_percent / 100) as $most |
		(if $now.instructions_per_packet <= $was.instructions_per_packet * $most and
		    $now.own_instructions_per_packet <= $was.own_instructions_per_packet * $most then "ok" else "not ok" end) +
		" \($now.instructions_per_packet) \($was.instructions_per_packet)" +
		" \($now.own_instructions_per_packet) \($was.own_instructions_per_packet)"')
	figures=${verdict#not }
	read -r _ all all_was own own_was <<<"$figures"
	echo "${verdict%% [0-9]*} $n - $case: a packet takes no more instructions than the baseline"
	echo "# $case: $all per packet (baseline $all_was), $own of them outside the cipher (baseline $own_was)"
	[[ $verdict == ok* ]] || status=1
done
exit $status
