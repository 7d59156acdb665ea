#!/usr/bin/env python3
"""Participants who misuse their data channel: what small messages make the control plane compute, and an offer whose answer
would be longer than itself. Beside them a call of another tenant's, whose pings have to be answered."""
from client import version_times
from story import Daemons, Peers, Process, Tap, cpu_seconds, go_program, percentile

HOSTILE = 8
SECONDS = 6


def test_small_messages(tap, d):
    beside = Peers(d.url, "-seconds", SECONDS - 1, "bystanders", "-people", 3)
    hostile = Peers(d.url, "-seconds", SECONDS, "keys", "-n", HOSTILE, nice=19)
    probe, before = Process(version_times, d.api, SECONDS, nice=0), cpu_seconds(d.cp)
    times, figures = probe.result(60), beside.result(60)
    share = (cpu_seconds(d.cp) - before) / SECONDS
    sent = hostile.result(60)
    tap.check(beside.is_ready and hostile.is_ready and bool(sent), "hostile participants and a call beside them join")
    tap.check(percentile(times, 99) < 0.25, "data-channel messages that inflate to many values delay no answer of the API",
              f"/version p50 {percentile(times, 50) * 1000:.1f} ms, p99 {percentile(times, 99) * 1000:.1f} ms; "
              f"sluice-cp {share * 100:.0f} % of a core; messages of {sent.get('Bytes')} bytes")
    tap.check(figures.get("PingP99Millis", 1e9) < 250 and figures.get("ControlWorks") is True,
              "nor the pings and unmutes of other tenants", figures)
    tap.check(figures.get("Loss") == 0, "nor lose media")


def test_offer(tap, d):
    cp, lines = d.cp, len(d.lines)
    hostile = Peers(d.url, "-seconds", 1.5, "offer")
    hostile.result()
    tap.check(hostile.is_ready and d.cp == cp and d.restarts() == 0,
              "an offer whose answer would be as long as itself ends no daemon",
              *d.logged("broken invariant|ended:", lines))


def main():
    tap = Tap()
    if go_program() is None:
        tap.skip("hostile participants", "no usable Go")
        tap.done()
    with Daemons() as d:
        test_small_messages(tap, d)
        test_offer(tap, d)
    tap.done()


main()
