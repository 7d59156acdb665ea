#!/usr/bin/env bash
# How sluice-dp starts, refuses to start, and ends: each refusal names what to change.
cd "$(dirname "$0")/../.." || exit 1
dp=$PWD/build/release/sluice-dp
dir=$(mktemp -d)
pid=
overcommit=/proc/sys/vm/nr_overcommit_hugepages
pages=
trap '[ -n "$pid" ] && kill "$pid" 2>/dev/null; [ -n "$pages" ] && echo "$pages" >$overcommit; rm -rf "$dir"' EXIT
n=0 status=0
ok() { # 0/1 TEXT
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then echo "ok $n - $2"; else
		echo "not ok $n - $2"
		status=1
	fi
}
free_port() {
	python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 0)); print(s.getsockname()[1])'
}
port=$(free_port)
config() { # LINES OF dataplane:
	printf 'rtc:\n  ice_port_udp: %s\ndataplane:\n  socket: %s/dp.sock\n%s\n' "$port" "$dir" "$1" >"$dir/c.yaml"
}
refuses() { # STATUS WORDS TEXT
	timeout 20 "$dp" --config "$dir/c.yaml" >"$dir/out" 2>&1
	local got=$?
	[ $got -eq "$1" ] && grep -q -- "$2" "$dir/out"
	local same=$?
	[ $same -ne 0 ] && sed "s/^/# $got: /" "$dir/out" | tail -5
	ok $same "$3"
}
starts() { # PREFIX COMMAND...; waits for its socket
	"$@" >"$dir/log" 2>&1 &
	pid=$!
	for _ in $(seq 500); do
		[ -S "$dir/dp.sock" ] && return 0
		kill -0 $pid 2>/dev/null || return 1
		read -rt 0.02 <> <(:) || :
	done
	return 1
}
ends() { # SIGNAL
	kill -"$1" "$pid"
	wait "$pid"
	local rc=$?
	pid=
	return $rc
}

"$dp" --self-test | grep -q 'self-test passed'
ok $? "the self-test passes"
"$dp" --version | grep -q .
ok $? "it has a version"
"$dp" --bogus >/dev/null 2>&1
ok $(($? != 64)) "an unknown option ends with 64"
config '  worker_coers: "0"'
refuses 78 'c.yaml:5:' "a wrong key is named with file and line, status 78"
config '  worker_cores: "999"'
refuses 69 'worker_cores' "a core that is not there is refused, status 69"
config '  memory_mib: 64
  max_sessions: 1000000'
refuses 71 'memory_mib' "too little memory is refused"
config '  memory_mib: 1000000'
refuses 69 'memory_mib: this machine has' "more memory than the machine has is refused"
config '  memory_mib: 900000
  hugepages: true'
refuses 69 'hugepages are free' "more hugepages than are free are refused"
config '  eal: "--no-such-option"'
refuses 69 'dataplane.eal' "a wrong argument for EAL is refused"
config '  ports: ["net_af_packet0,iface=nosuchif"]
  addresses: ["192.0.2.1/24"]'
refuses 69 'nosuchif' "a device that is not there is refused, status 69"
config ''
"$dp" --check-config --config "$dir/c.yaml" >/dev/null
ok $? "--check-config accepts a good one"
starts "$dp" --config "$dir/c.yaml"
ok $? "it starts"
sed -i "s|dp.sock|other.sock|" "$dir/c.yaml"
refuses 69 'rtc.ice_port_udp' "a busy port is refused, status 69"
sed -i "s|other.sock|dp.sock|; s|ice_port_udp: .*|ice_port_udp: $(free_port)|" "$dir/c.yaml"
refuses 69 'dataplane.socket' "a busy control socket is refused, status 69"
ends INT
ok $? "SIGINT ends it with status 0"
[ ! -e "$dir/dp.sock" ]
ok $? "and its socket is gone"
config '  idle: poll
  worker_cores: "0"'
starts "$dp" --config "$dir/c.yaml" && ends TERM
ok $? "it polls on a core of its own, SIGTERM ends it with status 0"
if [ "$(id -u)" -eq 0 ]; then
	chmod 777 "$dir"
	cp "$dp" "$dir/sluice-dp"
	config ''
	starts setpriv --reuid 65534 --regid 65534 --clear-groups env -i "$dir/sluice-dp" --config "$dir/c.yaml" && ends TERM
	ok $? "an ordinary user needs no hugepages, no device, no capability"
else
	n=$((n + 1))
	echo "ok $n - as an ordinary user # SKIP all of this ran as one"
fi
if [ "$(id -u)" -eq 0 ] && [ -w $overcommit ] && unshare --mount true 2>/dev/null; then
	pages=$(cat $overcommit)
	config '  memory_mib: 256
  hugepages: true'
	mkdir "$dir/huge"
	echo 200 >$overcommit
	# shellcheck disable=SC2016
	starts unshare --mount sh -c 'mount -t hugetlbfs none "$0" && exec "$@"' "$dir/huge" "$dp" --config "$dir/c.yaml" && ends TERM
	ok $? "hugepages that the kernel makes on demand (vm.nr_overcommit_hugepages) are enough"
	echo "$pages" >$overcommit
else
	n=$((n + 1))
	echo "ok $n - hugepages on demand # SKIP only root can allow and mount them"
fi
echo "1..$n"
exit $status
