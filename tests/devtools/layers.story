#!/usr/bin/env bash
# The checker of layers finds what it is for: each kind of violation is planted in a copy of the tree, and the checker
# must fail and name file and rule.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build/release} n=0 failed=0
mkdir -p build
top=$(mktemp -d "$PWD/build/layers.XXXXXX")
trap 'rm -rf "$top"' EXIT
git ls-files -co --exclude-standard -- lib dataplane controlplane tools | while read -r f; do
	[ -f "$f" ] && echo "$f"
done | tar -cT- | tar -xC "$top"
# Hard links, to be quick: whoever changes an object removes it first.
find "$build"/{lib,dataplane,controlplane} -name '*.o' -print0 | xargs -0 cp -l --parents -t "$top"
cd "$top" || exit 1
git init -q .

check() { tools/devtools/check-layers "$build" >out 2>&1; }
refuses() {
	check || return
	echo "not ok - the checker is content with $1"
	failed=1
}
passes() { # WHAT
	n=$((n + 1))
	if check; then
		echo "ok $n - $1"
	else
		echo "not ok $n - $1"
		sed 's/^/# /' out
		failed=1
	fi
}
said() { # WHAT PATTERN: a line of what the checker said matches (grep -E)
	n=$((n + 1))
	if grep -qE -- "$2" out; then
		echo "ok $n - the checker names $1"
	else
		echo "not ok $n - $1: no line like $2"
		sed 's/^/# /' out
		failed=1
	fi
}
names() { # WHAT PATTERN: the checker fails and says so
	refuses "$1"
	said "$1" "$2"
}
# plant FILE LINE...: such a source; its object too when it is a .c
plant() {
	local file=$1
	shift
	mkdir -p "$(dirname "$file")"
	printf '%s\n' "$@" >"$file"
	if [[ $file == *.c ]]; then
		mkdir -p "$(dirname "$build/$file")"
		${CC:-gcc} -c -o "$build/${file%.c}.o" "$file"
	fi
}
pull() { # FILES: as before
	for f; do rm -f "$f" "$build/${f%.c}.o"; done
}
# includes: lines of `FILE HEADER PATTERN | WHAT`. Each FILE includes HEADER; one run of the checker names all of them.
includes() {
	local all i=0 file header pattern what
	mapfile -t all
	for line in "${all[@]}"; do
		read -r file header _ <<<"$line"
		plant "$file/planted_$((i++)).h" "" "#include $header"
	done
	refuses includes
	i=0
	for line in "${all[@]}"; do
		what=${line#*| }
		read -r file header pattern <<<"${line% |*}"
		said "$what" "^# $file/planted_$i.h:2: includes [\"<].*[\">].*$pattern"
		pull "$file/planted_$((i++)).h"
	done
}

passes "the tree as it is passes"
includes <<'LINES'
dataplane/port/tcp "dataplane/ctl/ctl.h" port stands below ctl | an include up the rooms of the dataplane
controlplane/nat "controlplane/api/api.h" nat stands below api | an include up the rooms of the control plane
controlplane/nat "controlplane/store/store.h" nat is a sibling of store | an include of a sibling
lib/rtc/recv "lib/rtc/ice/icelite.h" recv is a sibling of ice | an include between folders of lib/rtc
lib/rtc/wire "lib/rtc/ice/icelite.h" wire stands below ice | an include from lib/rtc/wire
lib/ipc "lib/rtc/wire/rtp.h" lib/ipc knows only lib/base | an include between parts of lib
lib/base "dataplane/core/session.h" lib/base knows only libc | lib that knows a daemon
dataplane/gate "controlplane/sys/loop.h" dataplane knows only | a daemon that knows the other
dataplane/gate "lib/peer/dtls.h" dataplane knows only | DTLS in the dataplane
controlplane/link "lib/seal/seal.h" controlplane knows only | SRTP in the control plane
controlplane/link "tests/unit/check.h" knows nothing of tests/ | a daemon that knows its tests
dataplane/core <sys/socket.h> which belongs in | a socket in the packet path
lib/base <curl/curl.h> which has no place yet | a third-party header without a place
lib/rtc/send <time.h> lib/rtc does no I/O and reads no clock | a clock in lib/rtc
lib/rtc/send <stdio.h> lib/rtc does no I/O and reads no clock | stdio in lib/rtc
LINES
includes < <(for header in uv.h hiredis/async.h lmdb.h jansson.h crypt.h zlib.h seccomp.h openssl/ssl.h openssl/evp.h usrsctp.h \
	yaml.h srtp2/srtp.h intel-ipsec-mb.h rte_ethdev.h rte_eal.h rte_mbuf.h bpf/libbpf.h bpf/bpf_helpers.h sys/socket.h; do
	echo "controlplane/api <$header> which belongs in .* alone | $header where it does not belong"
done)

sed -i.was '/include <zlib.h>/d' controlplane/session/signal/dcmsg.c
names "a place of a header that is no longer used" '^# controlplane/session/signal/dcmsg.c:1: includes no <zlib.h>'
mv controlplane/session/signal/dcmsg.c.was controlplane/session/signal/dcmsg.c

plant dataplane/hall/planted.h ''
names "a room without a place" '^# dataplane/hall/planted.h:1: no room of this name'
pull dataplane/hall/planted.h
plant lib/hall/planted.h ''
names "a part without a place" '^# lib/hall/planted.h:1: no part of this name'
pull lib/hall/planted.h

plant dataplane/ctl/planted_up.c 'void planted_up(void) {}'
plant dataplane/port/planted_down.c 'void planted_up(void); void planted_down(void); void planted_down(void) { planted_up(); }'
names "a call up the rooms, without an include" \
	'^# dataplane/port/planted_down.c:1: calls planted_up of dataplane/ctl/planted_up.c: port stands below ctl'
pull dataplane/ctl/planted_up.c dataplane/port/planted_down.c
# A circle of three files of one room, in each program.
for room in dataplane/core controlplane/link lib/base; do
	plant $room/planted_a.c 'void planted_b(void); void planted_a(void) { planted_b(); }'
	plant $room/planted_b.c 'void planted_c(void); void planted_b(void) { planted_c(); }'
	plant $room/planted_c.c 'void planted_a(void); void planted_c(void) { planted_a(); }'
	names "a circle of calls in $room" \
		"^# $room/planted_c.c:1: a circle of calls: .*planted_a.c calls planted_b of .*planted_b.c calls planted_c of .*planted_c.c calls planted_a of"
	pull $room/planted_{a,b,c}.c
done
mv "$build/dataplane/main.o" main.o
names "an object that is missing" "^# dataplane/main.c:1: $build/dataplane/main.o is missing"
mv main.o "$build/dataplane/main.o"

for i in {1..26}; do plant controlplane/nat/planted_"$i".h ''; done
names "a folder that is too full" '^# controlplane/nat/: [0-9]+ files, the limit is 25'
pull controlplane/nat/planted_*.h

plant dataplane/core/planted.h 'struct session {'
names "a second type of one name" '^# dataplane/core/session.h:[0-9]+: a second type named session, as in dataplane/core/planted.h:1'
pull dataplane/core/planted.h

echo 'include dataplane/core/planted.h dataplane/ctl/ctl.h  # gone' >>tools/devtools/layers.known
names "an excuse that excuses nothing" '^# tools/devtools/layers.known:[0-9]+: .* excuses nothing any more'
plant dataplane/core/planted.h '#include "dataplane/ctl/ctl.h"'
sed -i '$s/  # gone//' tools/devtools/layers.known
names "an excuse without a reason" '^# tools/devtools/layers.known:[0-9]+: .* gives no reason'
sed -i '$s/$/  # because/' tools/devtools/layers.known
passes "an excuse with a reason excuses"
echo "1..$n"
exit $failed
