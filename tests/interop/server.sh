# Sourced by stories: both daemons on free ports of 127.0.0.1 through run-both.
# server_start sets and exports SLUICE_API, MEDIA_PORT, DP_PID, CP_PID, SERVER_LOG; server_stop ends them and says when they
# did not end well. EXTRA_CONFIG names a file that is appended to the generated configuration, SERVER_IN what to run them by.
# shellcheck shell=bash

free_port() { # TYPE (tcp or udp): a port that is free now
	python3 -c 'import socket,sys
s=socket.socket(socket.AF_INET,socket.SOCK_STREAM if sys.argv[1]=="tcp" else socket.SOCK_DGRAM)
s.bind(("127.0.0.1",0))
while not 1024<=s.getsockname()[1]<=49151:
    s=socket.socket(socket.AF_INET,socket.SOCK_STREAM if sys.argv[1]=="tcp" else socket.SOCK_DGRAM); s.bind(("127.0.0.1",0))
print(s.getsockname()[1])' "$1"
}

export SLUICE_API_SECURITY_REGISTER_PER_MIN=100000

server_start() {
	local line
	API_PORT=$(free_port tcp) MEDIA_PORT=$(free_port udp)
	export API_PORT MEDIA_PORT
	SERVER_LOG=$(mktemp "${TMPDIR:-/tmp}/sluice-server.XXXXXX")
	${SERVER_IN:-} tools/devtools/run-both "build/${MODE:-release}" >"$SERVER_LOG" 2>&1 &
	SERVER_PID=$!
	for _ in $(seq 300); do
		line=$(grep -m1 '^ready: ' "$SERVER_LOG") && break
		kill -0 $SERVER_PID 2>/dev/null || break
		sleep 0.1
	done
	if [ -z "${line:-}" ]; then
		echo "not ok 1 - the daemons did not start"
		sed 's/^/# /' "$SERVER_LOG"
		kill $SERVER_PID 2>/dev/null
		return 1
	fi
	SLUICE_API=$(sed -E 's/.*api=([^ ]+).*/\1/' <<<"$line")
	DP_PID=$(sed -E 's/.*dp_pid=([0-9]+).*/\1/' <<<"$line")
	CP_PID=$(sed -E 's/.*cp_pid=([0-9]+).*/\1/' <<<"$line")
	export SLUICE_API DP_PID CP_PID SERVER_LOG
}

server_stop() {
	kill -TERM "$SERVER_PID" 2>/dev/null
	for _ in $(seq 100); do
		kill -0 "$SERVER_PID" 2>/dev/null || break
		sleep 0.1
	done
	if kill -0 "$SERVER_PID" 2>/dev/null; then
		kill -TERM "$SERVER_PID"
		sleep 1
	fi
	wait "$SERVER_PID" 2>/dev/null
	grep -E 'AddressSanitizer|ThreadSanitizer|runtime error|broken invariant' "$SERVER_LOG" | sed 's/^/# /'
	rm -f "$SERVER_LOG"
}
