#!/usr/bin/env bash
# What systemd is given: both units load, users and folders come out as the units expect.
set -u
cd "$(dirname "$0")/../.." || exit 1
if ! command -v systemd-analyze >/dev/null || ! command -v systemd-sysusers >/dev/null; then
	echo "1..0 # SKIP systemd is not installed"
	exit 0
fi
root=$(mktemp -d) n=0 failed=0
trap 'rm -rf "$root"' EXIT
check() { # WHAT COMMAND...: TAP by the exit status
	local what=$1
	shift
	n=$((n + 1))
	if "$@" >"$root/out" 2>&1; then
		echo "ok $n - $what"
	else
		echo "not ok $n - $what"
		sed 's/^/# /' "$root/out"
		failed=1
	fi
}
mkdir -p "$root"/{etc/systemd/system,etc/sysusers.d,etc/tmpfiles.d,usr/sbin,usr/lib/systemd}
cp -r /lib/systemd/system "$root/usr/lib/systemd/" 2>/dev/null
cp conf/systemd/*.service "$root/etc/systemd/system"
cp conf/systemd/sysusers.conf "$root/etc/sysusers.d/sluice.conf"
cp conf/systemd/tmpfiles.conf "$root/etc/tmpfiles.d/sluice.conf"
cp /bin/true "$root/usr/sbin/sluice-dp"
cp /bin/true "$root/usr/sbin/sluice-cp"

# shellcheck disable=SC2317 # called by check
unit_is_clean() { # UNIT: it loads, and systemd has nothing to say about it
	systemd-analyze verify --root="$root" --man=no --recursive-errors=no "$1" && ! grep -q "$1" "$root/out"
}
check "sluice-dp.service loads without a remark" unit_is_clean sluice-dp.service
check "sluice-cp.service loads without a remark" unit_is_clean sluice-cp.service

setting() { sed -n "s/^$2=//p" "conf/systemd/$1.service"; }
drain=$(sed -n 's/^ *#max_s: //p' conf/sluice.yaml)
check "systemd waits longer than a drain takes" test "$(setting sluice-cp TimeoutStopSec)" -gt "$drain"
for unit in sluice-dp sluice-cp; do
	check "$unit is not started again after usage, permission and configuration errors" \
		test "$(setting $unit RestartPreventExitStatus)" = "64 77 78"
done

if [ "$(id -u)" -ne 0 ]; then
	echo "ok $((n + 1)) - users and folders # SKIP needs root"
	echo "1..$((n + 1))"
	exit $failed
fi
check "the users are made" systemd-sysusers --root="$root" sluice.conf
check "the folders are made" systemd-tmpfiles --root="$root" --create sluice.conf
gid=$(sed -n 's/^sluice:x:\([0-9]*\):.*/\1/p' "$root/etc/group")
uid=$(sed -n 's/^sluice-dp:x:\([0-9]*\):.*/\1/p' "$root/etc/passwd")
check "both daemons have the group sluice" test "$(grep -c "^sluice-[dc]p:x:[0-9]*:$gid:" "$root/etc/passwd")" = 2
check "the socket's folder belongs to sluice-dp and the group may enter" \
	test "$(stat -c '%u:%g:%a' "$root/run/sluice")" = "$uid:$gid:750"
check "the configuration cannot be changed by the daemons" test "$(stat -c '%u:%a' "$root/etc/sluice")" = "0:750"
echo "1..$n"
exit $failed
