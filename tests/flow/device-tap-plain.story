#!/usr/bin/env bash
# As device-tap, but checksums are ours: the tap's own are turned off (offloads=off).
cd "$(dirname "$0")/../.." && exec timeout 120 build/release/mock-device tap-plain 2>&1
