"""STUN binding requests as an ICE agent sends them (RFC 8489, RFC 8445), and sessions that have a path and nothing else."""
import binascii
import hashlib
import hmac
import os
import re
import socket
import struct

from client import PWD, UFRAG

COOKIE = 0x2112A442


def attribute(kind, value):
    return struct.pack(">HH", kind, len(value)) + value + bytes(-len(value) % 4)


def request(username, password, nominate=False):
    transaction = os.urandom(12)
    body = (attribute(6, username.encode()) + attribute(0x24, struct.pack(">I", 0x6E0001FF))
            + attribute(0x802A, os.urandom(8)) + (attribute(0x25, b"") if nominate else b""))

    def head(n):
        return struct.pack(">HHI", 1, n, COOKIE) + transaction

    body += attribute(8, hmac.new(password.encode(), head(len(body) + 24) + body, hashlib.sha1).digest())
    body += attribute(0x8028, struct.pack(">I", binascii.crc32(head(len(body) + 8) + body) ^ 0x5354554E))
    return head(len(body)) + body


def udp(address="127.0.0.1", timeout=0.3):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((address, 0))
    s.settimeout(timeout)
    return s


def exchange(s, datagram, to):
    """Send and wait for an answer: its bytes, or None."""
    s.sendto(datagram, to)
    try:
        return s.recv(2048)
    except (TimeoutError, BlockingIOError):
        return None


class Agent:
    """Our side of a session whose answer was `sdp`."""

    def __init__(self, sdp):
        self.username = re.search(r"a=ice-ufrag:(\S+)", sdp)[1] + ":" + UFRAG
        self.password = re.search(r"a=ice-pwd:(\S+)", sdp)[1]
        self.our_password = PWD

    def check(self, nominate=False):
        return request(self.username, self.password, nominate)
