#!/usr/bin/env bash
# A screen among mock participants through sluice-dp alone, with 2 worker(s).
cd "$(dirname "$0")/../.." && exec timeout 120 build/release/mock-video 2 2>&1
