#!/usr/bin/env bash
# Chromium with the official client class of npm (generation N) against both daemons; TAP. BROWSER_TEST=REGEX narrows it.
# SLUICE_API=URL takes a running server instead, any that is compatible with rtcd.
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=tests/interop/browser/lib.sh
. tests/interop/browser/lib.sh
browser_ready || exit 1
browser_server || exit 1
timeout -k 10 500 node tests/interop/browser/run.mjs N
