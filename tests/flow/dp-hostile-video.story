#!/usr/bin/env bash
# A call with voice and a screen through sluice-dp alone while one participant lies about video, and strangers come on TCP.
cd "$(dirname "$0")/../.." && exec timeout 120 build/release/mock-hostile_video 2 2>&1
