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
	# One person comes over IPv6, where the machine has it.
	if python3 -c 'import socket; socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).bind(("::1", 0))' 2>/dev/null; then
		export HOST=127.0.0.1,::1 SLUICE_RTC_ENABLE_IPV6=true
	fi
	server_start || return 1
	trap 'cleanup; server_stop' EXIT
}
