#!/usr/bin/env bash
# The same with the two generations of the client class that are deployed: M (Calls up to 1.11, mobile) and V (Calls
# 1.12), each with data-channel signalling and locking on and off; TAP. They are on no registry: CALLS_COMMON_DIR names a
# git clone of mattermost/calls-common, whose commits carry the library ready for use in lib/.
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=tests/interop/browser/lib.sh
. tests/interop/browser/lib.sh
if [ -z "${CALLS_COMMON_DIR:-}" ]; then
	echo "ok 1 - Chromium with client generations M and V # SKIP CALLS_COMMON_DIR names no clone of calls-common"
	exit 0
fi
browser_ready || exit 1
folder=$(mktemp -d)
cleanup() { rm -rf "$folder"; }
browser_server || exit 1

library() { # NAME COMMIT...: the lib/ of the first commit that the clone has
	local name=$1 commit
	shift
	for commit in "$@"; do
		git -C "$CALLS_COMMON_DIR" cat-file -e "$commit^{commit}" 2>/dev/null || continue
		mkdir -p "$folder/$name"
		git -C "$CALLS_COMMON_DIR" archive "$commit" lib | tar -x -C "$folder/$name" || return 1
		echo "# generation $name is commit $commit"
		return 0
	done
	return 1
}
status=0
run() { # NAME COMMIT...
	if ! library "$@"; then
		echo "ok - client generation $1 # SKIP the clone has none of: ${*:2}"
		return
	fi
	# The library's own imports are found where npm put ours.
	ln -s "$PWD/tools/demo/node_modules" "$folder/$1/node_modules"
	CALLS_LIBRARY=$folder/$1/lib timeout -k 10 "${GENERATION_SECONDS:-900}" node tests/interop/browser/run.mjs "$1" || status=1
}
run M ab53c24
run V af309ceb bfc0630
exit $status
