#!/usr/bin/env bash
# `make install` and `make uninstall` below a folder: what is installed runs there, tells its version, accepts the
# configuration that came with it.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build/release} n=0 failed=0
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
check() { # WHAT COMMAND...
	local what=$1
	shift
	n=$((n + 1))
	if "$@" >"$dir/out" 2>&1; then
		echo "ok $n - $what"
	else
		echo "not ok $n - $what"
		sed 's/^/# /' "$dir/out"
		failed=1
	fi
}
# The environment of whoever runs this must not count.
while IFS= read -r name; do unset "$name"; done < <(compgen -e | grep -E '^(SLUICE|RTCD)_')
unset MAKEFLAGS MFLAGS DESTDIR PREFIX SYSCONFDIR
run_make() { make -s MODE="${build#build/}" "$@"; }
release=$(sed -nE 's/^## \[([0-9.]+)\].*/\1/p' CHANGELOG.md | head -1)

usr=$dir/usr-tree
check "make install with DESTDIR and PREFIX" run_make install DESTDIR="$usr" PREFIX=/usr
for program in sbin/sluice-dp sbin/sluice-cp bin/sluicegun; do
	name=${program#*/}
	check "$name tells the release of the changelog" \
		bash -c "'$usr/usr/$program' --version | grep -E '^$name ${release//./\\.} \\([^ ]+\\)$'"
	check "$name completes in bash" grep -q "complete .*--version.* $name" "$usr/usr/share/bash-completion/completions/$name"
done
for daemon in sluice-dp sluice-cp; do
	check "$daemon accepts the configuration that came with it" \
		env -C / "$usr/usr/sbin/$daemon" --config "$usr/etc/sluice/sluice.yaml" --check-config
	check "$daemon.service is the one of conf/systemd" cmp "conf/systemd/$daemon.service" \
		"$usr/usr/lib/systemd/system/$daemon.service"
	page=$(sed -n 's|^Documentation=file://||p' "$usr/usr/lib/systemd/system/$daemon.service")
	check "$daemon.service names a page that is there" test -f "$usr$page"
done
check "users and folders are described" test -s "$usr/usr/lib/sysusers.d/sluice.conf" -a -s "$usr/usr/lib/tmpfiles.d/sluice.conf"

echo '# mine' >>"$usr/etc/sluice/sluice.yaml"
check "make install again" run_make install DESTDIR="$usr" PREFIX=/usr
check "a configuration that is there stays" grep -qx '# mine' "$usr/etc/sluice/sluice.yaml"
check "make uninstall" run_make uninstall DESTDIR="$usr" PREFIX=/usr
check "only the configuration is left" test "$(cd "$usr" && find . -type f)" = ./etc/sluice/sluice.yaml

opt=$dir/opt-tree
check "make install elsewhere" run_make install DESTDIR="$opt" PREFIX=/opt/sluice SYSCONFDIR=/opt/etc
for daemon in sluice-dp sluice-cp; do
	read -r program _ config < <(sed -n 's/^ExecStart=//p' "$opt/opt/sluice/lib/systemd/system/$daemon.service")
	check "$daemon.service starts what was installed, with what was installed" test -x "$opt$program" -a -f "$opt$config"
done
check "nothing names the usual places" bash -c "! grep -rE '/usr/(s?bin|share)/|[ =-]/etc/' '$opt/opt/sluice/lib'"
check "only files below the two folders" test -z "$(cd "$opt" && find . -type f ! -path './opt/*')"
echo "1..$n"
exit $failed
