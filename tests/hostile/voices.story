#!/usr/bin/env python3
"""Participants with more microphones than a person has: they use up neither what receivers can hear nor the dataplane."""
from story import Daemons, Gun, Peers, Tap, cpu_seconds, go_program


def test_lines(tap):
    with Daemons(env={"SLUICE_LIMITS_VOICE_LINES": "24"}) as d:
        seen = Peers(d.url, "-seconds", 4, "lines", "-n", 2, "-k", 15).result(40)
    tap.check(seen.get("NewcomerHeard") is True, "who talks after two others have opened more microphones than there are "
              "voice lines is heard", seen)
    tap.check(seen.get("StillHeard") is True, "and who talked before is heard still")


def test_flood(tap):
    with Daemons() as d:
        hostile = Peers(d.url, "-seconds", 6, "flood", "-n", 20, "-pps", 5000, nice=10)
        gun, before = Gun(d, 3), cpu_seconds(d.dp)
        loss = gun.result()["loss"]
        share = (cpu_seconds(d.dp) - before) / 5
        seen = hostile.result()
    rate = seen.get("ListenerPerSecond", 1e9)
    tap.check(rate < 500, "one voice is forwarded at the rate of a voice", f"{rate:.0f} packets/s to each of 20 listeners; "
              f"sluice-dp about {share * 100:.0f} % of a core; a call beside it lost {loss * 100:.2f} %")


def main():
    tap = Tap()
    if go_program() is None:
        tap.skip("hostile participants", "no usable Go")
        tap.done()
    test_flood(tap)
    test_lines(tap)
    tap.done()


main()
