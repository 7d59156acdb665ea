#!/usr/bin/env python3
"""Strangers on the media port's TCP: a client that authenticates gets in, however many others hold connections."""
import contextlib
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor

from attacks import framed, tcp_connections
from client import audio_section, connect, data_section, offer_text
from story import Daemons, Process, Tap
from stun import Agent

FLOOD_S = 6
TRIES = 6    # connections of one session at a time: it has 8 pairs
FAR_S = 1.5  # from a far client's connection to its first check


def gets_in(media, agent, wait=0):
    """A client's connection and first check, which is sent again until it is answered."""
    try:
        with socket.create_connection(media, timeout=0.5) as s:
            time.sleep(wait)
            for _ in range(4):
                s.sendall(framed(agent.check(nominate=True)))
                with contextlib.suppress(TimeoutError):
                    return len(s.recv(2048)) > 20
    except OSError:
        pass
    return False


def session(ws, name):
    ws.join("call", "user", name)
    ws.offer(name, offer_text([data_section("0"), audio_section("1")]))
    return Agent(ws.answer(name))


def said(media, raw):
    """What becomes of a connection that says this: "closed" or "open" half a second later, or an answer."""
    with socket.create_connection(media, timeout=2) as s:
        s.settimeout(0.5)
        try:
            s.sendall(raw)
            return "closed" if s.recv(100) == b"" else "answered"
        except TimeoutError:
            return "open"
        except OSError:
            return "closed"


def main():
    tap = Tap()
    with Daemons() as d:
        ws = connect(d.api, "tcp")
        tap.check(gets_in(d.media, session(ws, "by-tcp")), "a client gets in by TCP")
        for what, raw in (("frames of no length", bytes(2000)), ("a frame longer than any datagram", b"\xff\xff" + bytes(9000)),
                          ("noise", framed(os.urandom(100)))):
            tap.check(said(d.media, raw) in ("closed", "open"), f"no answer to {what}")
        for with_check, what in ((False, "that say nothing"), (True, "that send checks for no session")):
            agent = session(ws, f"beside-{with_check}")
            strangers = [Process(tcp_connections, d.media, FLOOD_S, with_check) for _ in range(2)]
            time.sleep(2.5)
            with ThreadPoolExecutor(TRIES) as pool:
                tried = list(pool.map(lambda agent: gets_in(d.media, agent, FAR_S), [agent] * TRIES))
            n = sum(s.result() or 0 for s in strangers)
            tap.check(all(tried), f"a client gets in beside connections {what}",
                      f"{tried.count(False)} of {len(tried)} failed beside {n} connections")
        tap.check(d.restarts() == 0, "no daemon ends")
    tap.done()


main()
