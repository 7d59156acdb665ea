#!/usr/bin/env bash
# 500 sessions through their life on daemons built with ASan, LSan and UBSan: no report, no leak, no growth; TAP.
set -u
cd "$(dirname "$0")/../.." || exit 1
go=$(tests/interop/find-go) || { echo "not ok 1 - no usable Go: ${go:-}"; exit 1; }
make -s MODE=asan -j2 all >build/asan-build.log 2>&1 || { echo "not ok 1 - build"; tail -20 build/asan-build.log >&2; exit 1; }
export MODE=asan ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:print_legend=0 UBSAN_OPTIONS=print_stacktrace=1
# shellcheck source=tests/interop/server.sh
. tests/interop/server.sh
server_start || exit 1
out=$(cd tests/interop/go && GOFLAGS=-buildvcs=false "$go" run ./cmd/churn -api "$SLUICE_API" -pids "$DP_PID,$CP_PID" -sessions 500)
status=$?
if [ $status -eq 0 ]; then echo "ok 1 - 500 sessions lived and ended $out"; else echo "not ok 1 - churn ended with $status"; fi
half=$(jq -r .half_kib <<<"$out") end=$(jq -r .end_kib <<<"$out")
# ASan's quarantine grows up to 256 MiB a process by itself: what is beyond that is ours.
if [ "${end:-999999999}" -lt $((${half:-0} + 2 * 262144)) ]; then
	echo "ok 2 - memory is bounded: $half KiB at half time, $end KiB at the end"
else
	echo "not ok 2 - memory grew from $half to $end KiB"
fi
if kill -0 "$DP_PID" && kill -0 "$CP_PID"; then echo "ok 3 - both daemons are the ones that were started"; else echo "not ok 3 - a daemon died"; fi
reports=$(server_stop)
if [ -z "$reports" ]; then echo "ok 4 - no sanitizer report, no leak at the end"; else
	echo "not ok 4 - sanitizer reports"
	echo "$reports"
fi
