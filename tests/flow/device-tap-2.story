#!/usr/bin/env bash
# Devices in network namespaces: a device taken over whole, two workers (tests/mock/device_story.c).
cd "$(dirname "$0")/../.." && exec timeout 120 build/release/mock-device tap 2 2>&1
