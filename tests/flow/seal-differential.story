#!/usr/bin/env bash
# More than a million packets per SRTP profile through ipsec-mb and libsrtp2: tests/unit/lib/seal/seal_diff_test.c
# at full length.
set -eu
cd "$(dirname "$0")/../.."
make -s build/release/unit-lib >&2
export SEAL_DIFF_PACKETS=${SEAL_DIFF_PACKETS:-1050000}
exec build/release/unit-lib -s seal_diff
