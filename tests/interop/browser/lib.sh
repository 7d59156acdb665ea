# Sourced by the browser stories. browser_ready: Chromium, Node and the npm packages are there. browser_server: a server
# is there, ours on free ports unless SLUICE_API names one.
# shellcheck shell=bash
browser_ready() {
	local missing=
	command -v node >/dev/null || missing=nodejs
	[ -x "${CHROMIUM:-/usr/bin/chromium}" ] || missing+=" chromium"
	if [ -n "$missing" ]; then
		echo "not ok 1 - browser tests need Debian's$missing (make test installs it)"
		return 1
	fi
	tools/demo/install tools/demo tests/interop/browser || {
		echo "not ok 1 - npm packages"
		return 1
	}
}
cleanup() { :; }
browser_server() {
	if [ -n "${SLUICE_API:-}" ]; then
		trap cleanup EXIT
		return 0
	fi
	# shellcheck source=tests/interop/server.sh
	. tests/interop/server.sh
	server_start || return 1
	trap 'cleanup; server_stop' EXIT
}
