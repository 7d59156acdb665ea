#!/usr/bin/env python3
"""Senders who have seen or guessed a participant's packets: a path moves only where the new address has answered, and what
is sent in a participant's name without proof costs the participant nothing."""
import binascii
import hashlib
import hmac
import json
import os
import socket
import struct
import time

from attacks import forge
from client import audio_section, basic, connect, data_section, http, offer_text
from story import Daemons, Peers, Process, Tap, go_program
from stun import Agent, attribute, COOKIE, exchange, udp


class Victim:
    """A session with a path, by hand."""

    def __init__(self, d, name):
        self.d, self.name = d, name
        self.ws = connect(d.api, name)
        self.ws.join("call", "user", name)
        self.ws.offer(name, offer_text([data_section("0"), audio_section("1")]))
        self.agent, self.s = Agent(self.ws.answer(name)), udp()

    def path(self):
        """The port that media goes to."""
        body = http(self.d.api, "GET", f"/calls/call/sessions/{self.name}/media", basic(self.name))[2]
        return json.loads(body)["path"].get("port")

    def check(self, nominate):
        datagram = self.agent.check(nominate)
        for _ in range(5):
            if exchange(self.s, datagram, self.d.media):
                return datagram
        return None


def test_replay(tap, d, name, flagged):
    """Checks of the start that somebody saw are sent again from elsewhere after 64 newer ones."""
    victim, thief = Victim(d, name), udp(timeout=0.2)
    seen = [victim.check(True) for _ in range(4)]
    here = victim.s.getsockname()[1]
    tap.check(all(seen) and victim.path() == here, f"{name}: the path is where checks come from")
    exchange(thief, seen[0], d.media)
    tap.check(victim.path() == here, f"{name}: a check that is sent again at once moves nothing")
    for _ in range(70):
        victim.check(flagged)
        time.sleep(0.02)
    for datagram in seen:
        exchange(thief, datagram, d.media)
    time.sleep(0.1)
    tap.check(victim.path() == here, f"{name}: nor does one that is older than 70 others", victim.path(), here)
    victim.ws.close()


def test_move(tap, d):
    """What an honest move is: the new address answers what it is asked."""
    victim = Victim(d, "moves")
    victim.check(True)
    victim.s = udp(timeout=0.2)
    began = time.monotonic()
    moved = False
    while time.monotonic() - began < 3 and not moved:
        victim.s.sendto(victim.agent.check(True), d.media)
        answer_checks(victim)
        moved = victim.path() == victim.s.getsockname()[1]
    tap.check(moved, "moves: a participant with a new address is followed", f"{time.monotonic() - began:.2f} s")


def answer_checks(victim):
    """Read what comes and answer requests as an ICE agent does."""
    end = time.monotonic() + 0.1
    while time.monotonic() < end:
        try:
            raw, source = victim.s.recvfrom(2048)
        except TimeoutError:
            return
        if raw[:2] != b"\x00\x01":
            continue
        host, port = source
        mapped = struct.pack(">BBH4s", 0, 1, port ^ (COOKIE >> 16),
                             bytes(a ^ b for a, b in zip(socket.inet_aton(host), struct.pack(">I", COOKIE))))
        body = attribute(0x20, mapped)

        def head(n):
            return struct.pack(">HHI", 0x101, n, COOKIE) + raw[8:20]

        body += attribute(8, hmac.new(victim.agent.our_password.encode(), head(len(body) + 24) + body, hashlib.sha1).digest())
        body += attribute(0x8028, struct.pack(">I", binascii.crc32(head(len(body) + 8) + body) ^ 0x5354554E))
        victim.s.sendto(head(len(body)) + body, source)


FORGED = ("forged {} in a talker's name loses none of its voice", "forged {} holds up none of its pings",
          "forged {} leaves it connected")


def test_forged(tap, d, kind, rate, seconds):
    victim = Peers(d.url, "-seconds", seconds, "victim")
    _, host, source, port, username = victim.hello.split()
    n = Process(forge, host, int(source), int(port), kind, username, rate, seconds, nice=5)
    seen, sent = victim.result(40), n.result()
    good = (seen.get("Loss") == 0, 0 <= seen.get("PingP99Millis", -1) < 1000, seen.get("ControlWorks") is True)
    for ok, what in zip(good, FORGED):
        tap.check(ok, what.format(kind), seen, sent, "datagrams")


def main():
    tap = Tap()
    with Daemons() as d:
        test_replay(tap, d, "plain", flagged=False)
        test_replay(tap, d, "nominating", flagged=True)
        test_move(tap, d)
    why = "raw sockets need root" if os.geteuid() != 0 else "no usable Go" if go_program() is None else None
    if why:
        for what in FORGED:
            tap.skip(what.format("dtls"), why)
    else:
        with Daemons() as d:
            test_forged(tap, d, "dtls", 5000, 5)
    tap.done()


main()
