#!/usr/bin/env bash
# Voice among mock participants through sluice-dp alone, with 1 worker(s).
cd "$(dirname "$0")/../.." && exec timeout 60 build/release/mock-voice 1 2>&1
