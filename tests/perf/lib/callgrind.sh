# Sourced by scripts that count what the fan-out does for each packet, by callgrind on perf-fanout.
# Sets $cases (CASES=, or those of the summary). callgrind_count CASE OPTION... leaves callgrind's output in $dir/out and the
# number of packets in $packets. $dir goes at the end.
# shellcheck shell=bash
command -v valgrind >/dev/null || { echo "valgrind is missing: tools/devtools/install-packages test" >&2; exit 69; }
make -s build/release/perf-fanout >&2
cases=${CASES:-voice_gcm128 video_gcm128 voice_cm80 video_cm80}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

callgrind_count() { # CASE OPTION...
	packets=$(timeout 120 valgrind -q --tool=callgrind --callgrind-out-file="$dir/out" --toggle-collect=count_rounds "${@:2}" \
		build/release/perf-fanout count "$1" 2>"$dir/log") || { cat "$dir/log" >&2; exit 1; }
}
