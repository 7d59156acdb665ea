#!/usr/bin/env bash
# Pion peers that show and see screens and cameras, over good and bad links, against both daemons; ffmpeg judges the
# pictures; TAP. GO_TEST='-run Name' narrows it. SLUICE_API=URL MEDIA_PORT=N takes a running server.
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=tests/interop/server.sh
. tests/interop/server.sh
go=$(tests/interop/find-go) || { echo "not ok 1 - no usable Go: ${go:-}"; exit 1; }
if [ -z "${SLUICE_API:-}" ]; then
	server_start || exit 1
	trap server_stop EXIT
fi
export SLUICE_VIDEO=1
log=build/interop-video.log
mkdir -p build
(cd tests/interop/go && GOFLAGS=-buildvcs=false timeout -k 5 240 "$go" test -v -count=1 -timeout 235s \
	-skip ClientReconnects -run "${GO_TEST:-Screen|Shares|Presenter|Twin|Camera|Layers|LossIs|PLI|Reconnect}" .) >"$log" 2>&1
status=$?
awk '
	/^ *--- (PASS|FAIL|SKIP): / {
		n++
		name = $3
		gsub("_", " ", name)
		print ($2 == "FAIL:" ? "not ok" : "ok") " " n " - " name ($2 == "SKIP:" ? " # SKIP see " FILENAME : "")
	}
	/^ +[a-z_]+\.go:[0-9]+: / { print "# " $0 }
	/^panic:/ { print "# " $0 }' "$log"
[ $status -eq 0 ] || tail -30 "$log" >&2
exit $status
