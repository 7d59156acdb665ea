#!/usr/bin/env bash
# Devices in network namespaces: net_af_xdp with our XDP filter, two workers on one queue (tests/mock/device_story.c).
cd "$(dirname "$0")/../.." && exec timeout 120 build/release/mock-device af_xdp 2 2>&1
