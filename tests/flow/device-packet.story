#!/usr/bin/env bash
# Devices in network namespaces: net_af_packet beside the kernel, one worker (tests/mock/device_story.c).
cd "$(dirname "$0")/../.." && exec timeout 120 build/release/mock-device af_packet 2>&1
