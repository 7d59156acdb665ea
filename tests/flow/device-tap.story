#!/usr/bin/env bash
# Devices in network namespaces: a device taken over whole, the rest to the kernel by a tap (tests/mock/device_story.c).
cd "$(dirname "$0")/../.." && exec timeout 120 build/release/mock-device tap 2>&1
