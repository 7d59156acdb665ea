#!/usr/bin/env bash
# Devices in network namespaces: a device taken over whole, no kernel behind it (tests/mock/device_story.c).
cd "$(dirname "$0")/../.." && exec timeout 120 build/release/mock-device alone 2>&1
