#!/usr/bin/env python3
"""What one tenant may take of the control plane: joins, answers that it does not read, unfinished messages."""
import contextlib
import time

from attacks import join_and_leave, unread
from client import Refused, WebSocket, basic, connect, http, metrics, register, version_times
from story import Daemons, Process, Tap, percentile, resident_mib

JOINS_PER_S, JOIN_BURST, JOIN_S = 100, 2000, 3
SESSIONS, READERS = 800, 100
MEMORY_MIB = 100  # that one tenant may make sluice-cp take
SOCKETS = 128


def test_joins(tap, d):
    n = Process(join_and_leave, d.api, JOIN_S).result() or 0
    refused = sum(metrics(d.api, "^sluice_joins_refused_total").values())
    most = JOIN_BURST + 2 * JOINS_PER_S * (JOIN_S + 1)
    tap.check(n < most or refused > n - most, "joins that are left at once count against the tenant's rate",
              f"{n} sent, {refused:.0f} refused")


def test_unread_answers(tap, d):
    ws, pad = connect(d.api, "lists"), "\x01" * 230
    for i in range(SESSIONS):
        ws.send("join", {"callID": "c", "userID": pad + f"u{i}", "sessionID": pad + f"s{i}", "channelID": pad,
                         "av1Support": False, "dcSignaling": True})
    code, _, body = http(d.api, "GET", "/calls/c/sessions", basic("lists"))
    before, probe = resident_mib(d.cp), Process(version_times, d.api, 3, nice=0)
    held = unread(d.api, "lists", READERS)
    times = probe.result()
    grown = resident_mib(d.cp) - before
    tap.check(grown < MEMORY_MIB, "answers that a tenant does not read take a bounded part of the memory",
              f"{grown:.0f} MiB for {READERS} times {len(body)} bytes ({code})")
    tap.check(percentile(times, 100) < 0.5, "and the work of making them holds up nobody",
              f"slowest /version {percentile(times, 100) * 1000:.0f} ms")
    for s in held:
        s.close()
    ws.close()


def test_unfinished_messages(tap, d):
    register(d.api, "halves")
    before, held = resident_mib(d.cp), []
    half = WebSocket.frame(2, b"x" * ((1 << 20) - 100), fin=False)
    with contextlib.suppress(Refused, OSError):
        for _ in range(SOCKETS):
            held.append(WebSocket(d.api, "halves"))
    for ws in held:
        with contextlib.suppress(OSError):
            ws.s.settimeout(1)
            ws.s.sendall(half)
    time.sleep(0.5)
    grown = resident_mib(d.cp) - before
    tap.check(grown < MEMORY_MIB, "messages that a tenant does not finish take a bounded part of the memory",
              f"{grown:.0f} MiB on {len(held)} WebSockets")
    for ws in held:
        ws.close()


def main():
    tap = Tap()
    # Daemons of its own each: memory that was taken and freed before would hide what is taken anew.
    for test, env in ((test_unread_answers, {"SLUICE_LIMITS_JOINS_PER_S": "100000"}), (test_unfinished_messages, {}),
                      (test_joins, {})):
        with Daemons(env=env) as d:
            test(tap, d)
            if d.restarts() or http(d.api, "GET", "/version")[0] != 200:
                tap.check(False, f"both daemons go on after {test.__name__}")
    tap.done()


main()
