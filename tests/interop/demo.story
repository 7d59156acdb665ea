#!/usr/bin/env bash
# `make demo` beside both daemons: three people talk on the page in Chromium; TAP. SLUICE_API=URL takes a running server.
# DEMO_PICTURE=FILE.png keeps a picture of the page.
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=tests/interop/browser/lib.sh
. tests/interop/browser/lib.sh
browser_ready || exit 1

log=$(mktemp) demo=
cleanup() {
	[ -z "$demo" ] || kill -TERM "$demo" 2>/dev/null
	rm -f "$log"
}
trap cleanup EXIT
SLUICE_API=http://127.0.0.1:9 timeout 20 tools/demo/start </dev/null >"$log" 2>&1
if [ $? -eq 69 ] && grep -q 'make run' "$log"; then
	echo "ok 1 - without Sluice the demo says how to start it, exit 69"
else
	echo "not ok 1 - without Sluice the demo says how to start it, exit 69"
	sed 's/^/# /' "$log"
fi
browser_server || exit 1
tools/demo/start </dev/null >"$log" 2>&1 &
demo=$!
for _ in $(seq 150); do
	url=$(sed -n 's/^demo: //p' "$log")
	[ -n "$url" ] && break
	kill -0 $demo 2>/dev/null || break
	sleep 0.1
done
if [ -z "$url" ]; then
	echo "not ok 2 - the demo starts"
	sed 's/^/# /' "$log"
	exit 1
fi
DEMO_URL=$url timeout -k 10 120 node tests/interop/browser/demo.mjs
