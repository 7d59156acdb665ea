#!/usr/bin/env bash
# A call through sluice-dp alone while the network, the control plane and a silent client misbehave.
cd "$(dirname "$0")/../.." && exec timeout 120 build/release/mock-hostile 2>&1
