#!/usr/bin/env bash
# A screen among mock participants through sluice-dp alone, with 1 worker(s).
cd "$(dirname "$0")/../.." && exec timeout 120 build/release/mock-video 1 2>&1
