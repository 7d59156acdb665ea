#!/usr/bin/env python3
"""All attacks at once, eight sessions or senders of each, beside a call of ten of another tenant's: it loses nothing, its pings
and the API answer in time, and memory stays bounded."""
import contextlib
import os
import time

import attacks
from client import connect, data_section, offer_text, register, version_times
from story import Daemons, Gun, Peers, Process, Tap, cpu_seconds, go_program, percentile, resident_mib

SECONDS = 8
N = 8
MEMORY_MIB = 200  # that sluice-cp may grow by


def long_offers(api, seconds):
    """Offers whose answers would have to repeat 48 KiB, one session after another."""
    end, n = time.monotonic() + seconds, 0
    text = offer_text([data_section()] + [f"m=audio 0 {'P' * 4060} 0\r\na=mid:{i + 1}\r\n" for i in range(12)])
    while time.monotonic() < end:
        with contextlib.suppress(OSError, EOFError):
            ws = connect(api, f"offers{os.getpid()}")
            ws.join("call", "user", f"offers{os.getpid()}-{n}")
            ws.offer(f"offers{os.getpid()}-{n}", text)
            ws.answer(f"offers{os.getpid()}-{n}", 1)
            ws.close()
            n += 1
        time.sleep(0.1)
    return n


def lists_unread(api, seconds):
    """A call of 300 whose list is asked for and not read."""
    ws = connect(api, "lists")
    for i in range(300):
        ws.join("c", "\x01" * 230 + f"u{i}", f"s{i}")
    held = attacks.unread(api, "lists", 8 * N)
    time.sleep(seconds)
    return len(held)


def in_processes(d, held):
    """What is sent without WebRTC."""
    api, media = d.api, d.media
    register(api, "lists")
    kinds = ((attacks.blank_lines, api), (attacks.fail_often, api), (attacks.join_and_leave, api), (lists_unread, api),
             (attacks.bad_requests, api), (long_offers, api))
    started = [Process(f, where, SECONDS) for f, where in kinds]
    started.append(Process(attacks.tcp_connections, media, SECONDS, True))
    started.append(Process(attacks.send_media, held, SECONDS))
    return started


def main():
    tap = Tap()
    if go_program() is None:
        tap.skip("all attacks together", "no usable Go")
        tap.done()
    with Daemons(env={"SLUICE_LIMITS_JOINS_PER_S": "1000"}) as d:
        pids, memory = (d.dp, d.cp), resident_mib(d.cp)
        _, held = attacks.idle_sessions(d, 40 * N)
        hostile = [Peers(d.url, "-seconds", SECONDS, *args, nice=19) for args in (
            ("keys", "-n", N, "-rate", 60), ("toggle", "-n", 2, "-k", 15), ("flood", "-n", N, "-pps", 2000))]
        beside = Peers(d.url, "-seconds", SECONDS - 2, "bystanders", "-people", 10)
        gun, before = Gun(d, SECONDS - 4, people=10), cpu_seconds(d.cp)
        others = in_processes(d, held)
        probe = Process(version_times, d.api, SECONDS - 2, nice=-5 if os.geteuid() == 0 else 0)
        times = probe.result(60) or [float("inf")]
        figures, gun_figures = beside.result(60), gun.result(60)
        share = (cpu_seconds(d.cp) - before) / SECONDS if d.cp == pids[1] else float("nan")
        grown = resident_mib(d.cp) - memory if d.cp == pids[1] else float("inf")
        for o in others:
            o.result(5)
        for h in hostile:
            h.result(5)
        tap.check((d.dp, d.cp) == pids, "under all attacks together no daemon ends", *d.logged("broken invariant|ended:"))
        tap.check(beside.is_ready and figures.get("Loss") == 0 and gun_figures["loss"] == 0,
                  "a call of ten and another one that joins meanwhile lose nothing", figures,
                  f"{gun_figures['loss'] * 100:.3f} % lost by the second")
        tap.check(percentile(times, 99) < 0.05, "the API answers within 50 ms",
                  f"/version p50 {percentile(times, 50) * 1000:.1f} ms, p99 {percentile(times, 99) * 1000:.1f} ms, "
                  f"slowest {percentile(times, 100) * 1000:.0f} ms of {len(times)}; sluice-cp {share * 100:.0f} % of a core")
        tap.check(figures.get("PingP99Millis", 1e9) < 100 and figures.get("ControlWorks") is True,
                  "pings of other tenants' data channels are answered within 100 ms, and they can unmute")
        tap.check(grown < MEMORY_MIB, "sluice-cp takes a bounded amount of memory", f"{grown:.0f} MiB more")
    tap.done()


main()
