#!/usr/bin/env bash
# The plugin's own Go client and Pion peers against both daemons; TAP. GO_TEST='-run Name' narrows it.
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=tests/interop/server.sh
. tests/interop/server.sh
go=$(tests/interop/find-go) || { echo "not ok 1 - no usable Go: ${go:-}"; exit 1; }
if grep -q ' lo$' /proc/net/if_inet6 2>/dev/null; then # for the tests of clients that have nothing else
	export HOST=127.0.0.1,::1 SLUICE_RTC_ENABLE_IPV6=true
fi
server_start || exit 1
trap server_stop EXIT
log=build/interop-go.log
(cd tests/interop/go && GOFLAGS=-buildvcs=false "$go" test -v -count=1 -timeout 600s ${GO_TEST:-} .) >"$log" 2>&1
status=$?
awk '
	/^ *--- (PASS|FAIL|SKIP): / {
		n++
		verdict = $2 == "FAIL:" ? "not ok" : "ok"
		name = $3
		gsub("_", " ", name)
		print verdict " " n " - " name ($2 == "SKIP:" ? " # SKIP see " FILENAME : "")
	}
	/^ +[a-z_]+\.go:[0-9]+: / { print "# " $0 }
	/^panic:/ { print "# " $0 }' "$log"
[ $status -eq 0 ] || tail -30 "$log" >&2
exit $status
