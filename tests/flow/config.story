#!/usr/bin/env bash
# Both daemons and their configuration: what is wrong is said in one line with place and reason, and the exit
# status is the one of docs/operations.md.
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=tests/interop/server.sh
. tests/interop/server.sh
build=${BUILD:-build/release}
dir=$(mktemp -d) n=0 failed=0
trap 'rm -rf "$dir"' EXIT
# The environment of whoever runs this must not count.
while IFS= read -r name; do unset "$name"; done < <(compgen -e | grep -E '^(SLUICE|RTCD)_')

# expect WHAT STATUS PATTERN COMMAND...: exit status, and a line of its output (grep -E)
expect() {
	local what=$1 status=$2 pattern=$3 got
	shift 3
	n=$((n + 1))
	timeout 30 "$@" >"$dir/out" 2>&1 </dev/null
	got=$?
	if [ $got -eq "$status" ] && grep -qE -- "$pattern" "$dir/out"; then
		echo "ok $n - $what"
	else
		echo "not ok $n - $what"
		echo "# status $got, want $status; want a line like: $pattern"
		sed 's/^/# /' "$dir/out"
		failed=1
	fi
}
file() { # TEXT: a configuration file
	printf '%b' "$1" >"$dir/f.yaml"
}

release=$(sed -nE 's/^## \[([0-9.]+)\].*/\1/p' CHANGELOG.md | head -1)
for daemon in sluice-dp sluice-cp; do
	run=("$build/$daemon" --config "$dir/f.yaml")
	file 'rtc:\n  ice_port_udp: 12\n'
	expect "$daemon names file, line, column, key and reason" 78 \
		"$dir/f.yaml:2:17: rtc.ice_port_udp: invalid ICEPortUDP value: 12 is not in allowed range" "${run[@]}"
	file 'rtc:\n  ice_prot_udp: 8443\n'
	expect "$daemon offers the nearest key for an unknown one" 78 'did you mean rtc.ice_port_udp\?' "${run[@]}"
	file 'log: {level: debug\n'
	expect "$daemon says where the YAML breaks" 78 "$dir/f.yaml:2:1: syntax: " "${run[@]}" --check-config
	expect "$daemon says that the file is missing" 78 'x.yaml: cannot be read: No such file' \
		"$build/$daemon" --config "$dir/x.yaml"
	file ''
	expect "$daemon checks without starting" 0 'configuration is' "${run[@]}" --check-config
	expect "$daemon takes rtcd's variables and names them" 78 '^(sluice: )?RTCD_RTC_ICEPORTUDP: rtc.ice_port_udp: ' \
		env RTCD_RTC_ICEPORTUDP=x "${run[@]}" --check-config
	expect "$daemon refuses unknown options" 64 'confg: unknown option' "$build/$daemon" --confg x
	expect "$daemon explains its options" 0 '--config=PATH' "$build/$daemon" --help
	expect "$daemon tells its version" 0 "^$daemon $release \\([^ ]+\\)$" "$build/$daemon" --version
	expect "$daemon completes in bash" 0 "^complete .*--config=.* $daemon$" "$build/$daemon" --bash-completion
	expect "$daemon accepts the sample file" 0 'configuration is' "$build/$daemon" --config conf/sluice.yaml --check-config
done

file 'api: {security: {enable_admin: true, admin_secret_key: hunter2}}\nstore: {url: "redis://:hunter2@c/1"}\n'
expect "print-config shows values with their source" 0 '^store.url: "redis://\*\*\*@c/1" # file$' "${run[@]}" --print-config
n=$((n + 1))
if grep -q hunter2 "$dir/out"; then
	echo "not ok $n - print-config shows no secret"
	failed=1
else
	echo "ok $n - print-config shows no secret"
fi
expect "the dataplane tests its cipher" 0 'self-test passed' "$build/sluice-dp" --self-test
: >"$dir/taken"
file "dataplane: {socket: $dir/taken}\n"
expect "a socket path that is another file is left alone" 71 'dataplane.socket' \
	env SLUICE_RTC_ICE_ADDRESS_UDP=127.0.0.1 SLUICE_RTC_ICE_PORT_UDP="$(free_port udp)" \
	"$build/sluice-dp" --config "$dir/f.yaml"
# shellcheck disable=SC2317 # by export -f
up_to_date() { tools/devtools/metrics-docs | diff -u docs/metrics.md - && echo same; }
export -f up_to_date
expect "docs/metrics.md is what the tables say (else: make docs)" 0 '^same$' bash -c up_to_date
echo "1..$n"
exit $failed
