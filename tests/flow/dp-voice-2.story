#!/usr/bin/env bash
# Voice among mock participants through sluice-dp alone, with 2 worker(s).
cd "$(dirname "$0")/../.." && exec timeout 60 build/release/mock-voice 2 2>&1
