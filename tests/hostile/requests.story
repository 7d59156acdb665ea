#!/usr/bin/env python3
"""Strangers at the API, without credentials: what they send and how slowly costs nobody else an answer."""
import time

from attacks import bad_requests, blank_lines
from client import http, metrics, version_times
from story import Daemons, Process, Tap, cpu_seconds, within

CPU_S_PER_MB = 0.02  # what a megabyte of blank lines may cost


def test_blank_lines(tap, d):
    sender, before = Process(blank_lines, d.api, 4), cpu_seconds(d.cp)
    sent = (sender.result() or 0) / 1e6
    used = cpu_seconds(d.cp) - before
    tap.check(used < 0.3 + CPU_S_PER_MB * sent, "blank lines before a request cost no more than reading them",
              f"{used:.2f} s for {sent:.1f} MB")


def test_bad_requests(tap, d):
    floods = [Process(bad_requests, d.api, 7) for _ in range(2)]
    time.sleep(2.5)
    times = version_times(d.api, 4, every=0.01)
    n = sum(f.result() or 0 for f in floods)
    refused = sum(t == float("inf") for t in times)
    tap.check(refused == 0, "connections that wait for the end of a refused request lock nobody out",
              f"{refused} of {len(times)} requests failed beside {n} connections",
              metrics(d.api, "sluice_http_refused"))


def test_recovers(tap, d):
    tap.check(within(5, lambda: http(d.api, "GET", "/version")[0] == 200), "the API answers after all that")
    tap.check(d.restarts() == 0, "no daemon ends")


def main():
    tap = Tap()
    with Daemons() as d:
        test_blank_lines(tap, d)
        test_bad_requests(tap, d)
        test_recovers(tap, d)
    tap.done()


main()
