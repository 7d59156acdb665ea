"""The attacks that several stories mount: each is a function of the server's address and of the time that it lasts, for a
process of its own, and returns how much it did."""
import contextlib
import os
import selectors
import socket
import struct
import time

from client import WebSocket, audio_section, basic, connect, offer_text, read_response, request_text, status
from stun import COOKIE, Agent, attribute, request

ADMIN_KEY = "correct-horse-battery-staple-00123456789"
PARKING_SESSIONS = 1100
ADDRESSES = [f"127.0.{j}.{k}" for j in range(1, 40) for k in range(1, 4)]


# --- strangers at the API ------------------------------------------------------------------------------------------
def blank_lines(api, seconds):
    """Lines without a request on a connection whose buffer has grown; bytes sent."""
    sent = 0
    with contextlib.suppress(OSError), socket.create_connection(api, timeout=5) as s:
        s.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 31000 + b"\r\n\r\n")
        read_response(s)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            sent += s.send(b"\n" * 65536)
    return sent


def bad_requests(api, seconds):
    """Connections that say nonsense and stay."""
    end, held, n = time.monotonic() + seconds, [], 0
    while time.monotonic() < end:
        s = socket.socket()
        s.setblocking(False)
        with contextlib.suppress(OSError):
            s.connect_ex(api)
            s.send(b"x\r\n\r\n")
            n += 1
        held.append((time.monotonic(), s))
        while held and held[0][0] < time.monotonic() - 2.2 or len(held) > 6000:
            held.pop(0)[1].close()
    return n


class Guesser:
    """One connection that tries one admin key after another; every 50th is the right one, which only a server that
    judges it answers as the admin's."""

    n = 0

    def __init__(self, api):
        self.s = socket.create_connection(api)
        self.s.setblocking(False)
        self.raw = b""
        self.send()

    def send(self):
        Guesser.n += 1
        self.is_right = Guesser.n % 50 == 0
        key = ADMIN_KEY if self.is_right else f"wrong-guess-{Guesser.n:030d}"
        self.s.send(request_text("POST", "/unregister", basic("nobody", key), b"{}"))

    def answered(self):
        """The status of a complete answer, or None."""
        self.raw += self.s.recv(65536)
        if b"\r\n\r\n" not in self.raw or not self.raw.endswith(b"\n"):
            return None
        answer, self.raw = int(self.raw.split()[1]), b""
        return answer


def guess(api, seconds):
    """(answers, right keys sent, right keys accepted)"""
    selector, answers, right, accepted = selectors.DefaultSelector(), 0, 0, 0
    for _ in range(256):
        g = Guesser(api)
        selector.register(g.s, selectors.EVENT_READ, g)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for key, _ in selector.select(0.2):
            with contextlib.suppress(OSError, IndexError):
                answer = key.data.answered()
                if answer is None:
                    continue
                answers += 1
                right += key.data.is_right
                accepted += key.data.is_right and answer == 400  # an admin's request that names no client
                key.data.send()
    return answers, right, accepted


def fail_often(api, seconds):
    """Somebody of the same address whose key is wrong, as fast as answers come."""
    end, n = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        n += status(api, "GET", "/calls/x/sessions", basic("nobody", "w" * 32), timeout=5) != 0
    return n


# --- tenants -------------------------------------------------------------------------------------------------------
def join_and_leave(api, seconds):
    """Joins as fast as the server takes them, each left at once, so that the call has no members between; how many were
    sent."""
    ws, n, end = connect(api, "joins"), 0, time.monotonic() + seconds
    ws.s.setblocking(False)
    while time.monotonic() < end:
        batch = b"".join(WebSocket.join_message("c", "u", f"s{n + i}") + WebSocket.message("leave", {"sessionID": f"s{n + i}"})
                         for i in range(50))
        n += 50
        while batch:
            try:
                batch = batch[ws.s.send(batch):]
            except BlockingIOError:
                time.sleep(0.001)
            except OSError:
                return n
            with contextlib.suppress(BlockingIOError):
                if not ws.s.recv(1 << 20):
                    return n
    time.sleep(0.5)
    return n


def unread(api, tenant, n):
    """Connections that ask for the list of sessions and read nothing."""
    held = []
    for _ in range(n):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with contextlib.suppress(OSError):
            s.connect(api)
            s.sendall(request_text("GET", "/calls/c/sessions", basic(tenant)))
        held.append(s)
    return held


def idle_sessions(d, n=PARKING_SESSIONS):
    """Sockets of sessions that have a path."""
    ws, agents, held = connect(d.api, "parking"), [], []
    text = offer_text([audio_section("0")])
    for i in range(n):
        ws.join(f"call{i // 1000}", "user", f"park{i}")
        ws.offer(f"park{i}", text)
        if i % 50 == 49:
            agents += [Agent(ws.answer(f"park{k}")) for k in range(i - 49, i + 1)]
    for i, agent in enumerate(agents):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.setblocking(False)
        s.connect(d.media)
        s.send(agent.check(nominate=True))
        held.append(s)
        if i % 100 == 99:
            time.sleep(0.05)
    return ws, held


def send_media(held, seconds):
    """Eight packets of voice on each, five times a second; the number of them."""
    end, n = time.monotonic() + seconds, 0
    packet = b"\x80\x6f\x00\x01" + bytes(8) + bytes(60)
    while time.monotonic() < end:
        turn = time.monotonic()
        for s in held:
            for _ in range(8):
                try:
                    s.send(packet)
                    n += 1
                except OSError:
                    pass
        time.sleep(max(0, 0.2 - (time.monotonic() - turn)))
    return n


# --- strangers at the media port -----------------------------------------------------------------------------------
def framed(datagram):
    return struct.pack(">H", len(datagram)) + datagram


def tcp_connections(media, seconds, with_check):
    """Connections from 117 addresses, kept; those with a check look like a client whose session is not known yet."""
    end, n, held = time.monotonic() + seconds, 0, []
    stranger = framed(request("x" * 16 + ":y", "z" * 32))
    while time.monotonic() < end:
        for address in ADDRESSES:
            s = socket.socket()
            s.settimeout(0.2)
            with contextlib.suppress(OSError):
                s.bind((address, 0))
                s.connect(media)
                n += 1
                if with_check:
                    s.sendall(stranger)
            held.append(s)
            if len(held) > 6000:
                held.pop(0).close()
        time.sleep(0.002)
    return n


def forge(host, source, port, kind, username, rate, seconds):
    """Datagrams in somebody's name, without a key. kind: stun, dtls, rtp."""
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    end, n = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        for _ in range(rate // 100):
            random_part = os.urandom(48)
            if kind == "stun":
                body = attribute(6, username.encode()) + attribute(0x24, b"\x6e\0\1\xff") + attribute(8, os.urandom(20))
                payload = struct.pack(">HHI", 1, len(body), COOKIE) + os.urandom(12) + body
            elif kind == "dtls":
                payload = b"\x17\xfe\xfd\0\1" + random_part[:6] + struct.pack(">H", 40) + random_part[:40]
            else:
                payload = b"\x80\x6f" + random_part
            ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 28 + len(payload), 0, 0, 64, 17, 0, socket.inet_aton(host),
                             socket.inet_aton("127.0.0.1"))
            raw.sendto(ip + struct.pack(">HHHH", source, port, 8 + len(payload), 0) + payload, ("127.0.0.1", 0))
            n += 1
        time.sleep(0.005)
    return n
