#!/usr/bin/env python3
"""Offers as hostile as SDP allows, by an ordinary participant over the WebSocket: each is answered or ends that session,
and costs nobody else anything."""
from client import audio_section, connect, data_section, http, offer_text, basic, status, version_times
from story import Daemons, Process, Tap, percentile, within

PROTO_BYTES = 4060


def rejected(proto, n, kind="audio", formats="0"):
    return [f"m={kind} 0 {proto} {formats}\r\na=mid:{i + 1}\r\n" for i in range(n)]


# What each offer stretches: the words that an answer has to repeat, the number of sections, the length of values.
OFFERS = {
    "rejected sections with a long protocol": lambda: [data_section()] + rejected("P" * PROTO_BYTES, 12),
    "one rejected section whose protocol fills the offer": lambda: [data_section()] + rejected("P" * 60000, 1),
    "sections in use with a long protocol": lambda: [data_section()] + [
        audio_section(str(i + 1), proto="P" * PROTO_BYTES) for i in range(12)],
    "rejected sections of kinds nobody knows": lambda: [data_section()] + rejected("UDP/X", 12, kind="k" * 3000),
    "as many sections as 60 KiB hold": lambda: [data_section()] + rejected("X", 1800),
    "sections with long identifiers": lambda: [data_section()] + [audio_section("m" * 4000 + str(i)) for i in range(12)],
    "rejected sections with many formats": lambda: [data_section()] + rejected("UDP/TLS/RTP/SAVPF", 12,
                                                                             formats="96 " * 1300 + "97"),
    "ever the same identifier": lambda: [data_section()] + [audio_section("0") for _ in range(120)],
    "one long line": lambda: [data_section() + "a=" + "x" * 60000 + "\r\n"],
}


def main():
    tap = Tap()
    with Daemons() as d:
        neighbour = connect(d.api, "neighbour")
        neighbour.join("call", "user", "stays")
        neighbour.offer("stays", offer_text([data_section()]))
        neighbour.answer("stays")
        cp = d.cp
        probe = Process(version_times, d.api, 6, nice=0)
        for i, (what, sections) in enumerate(OFFERS.items()):
            session = f"session{i}"
            within(10, lambda: status(d.api, "GET", "/version") == 200)
            outcome = None
            try:
                ws = connect(d.api, f"tenant{i}")
                ws.join("call", "user", session)
                ws.offer(session, offer_text(sections()))
                outcome = ws.answer(session, 3)
                ws.close()
            except (OSError, EOFError) as e:
                tap.say(type(e).__name__, e)
            tap.check(outcome is not None, f"{what}: the offer is answered or its session closed")
        times = probe.result()
        tap.check(percentile(times, 100) < 1, "the API answers all the time",
                  f"slowest /version {percentile(times, 100) * 1000:.0f} ms")
        tap.check(d.cp == cp and d.restarts() == 0, "no daemon ends", *d.logged("broken invariant|ended:"))
        try:
            listed = http(d.api, "GET", "/calls/call/sessions", basic("neighbour"))[0]
        except OSError:
            listed = 0
        tap.check(listed == 200, "another tenant's session goes on")
    tap.done()


main()
