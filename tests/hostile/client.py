"""A client of the API written from the protocols up, so that it can break each of them: HTTP, WebSocket, msgpack, SDP."""
import base64
import contextlib
import json
import os
import re
import socket
import struct
import time

KEY = "k" * 32
CLOSE, PONG = "close frame", "pong frame"


# --- msgpack: what the plugin's protocol needs of it --------------------------------------------------------------
def pack(value):
    """None, bool, int, str, bytes, list and dict as msgpack."""
    if value is None or isinstance(value, bool):
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        return struct.pack("B", value) if 0 <= value < 128 else b"\xd3" + struct.pack(">q", value)
    if isinstance(value, str):
        raw = value.encode()
        return _head(len(raw), 0xA0, 32, b"\xd9", b"\xda", b"\xdb") + raw
    if isinstance(value, bytes):
        return _head(len(value), 0, 0, b"\xc4", b"\xc5", b"\xc6") + value
    if isinstance(value, (list, tuple)):
        return _head(len(value), 0x90, 16, b"", b"\xdc", b"\xdd") + b"".join(map(pack, value))
    if isinstance(value, dict):
        return _head(len(value), 0x80, 16, b"", b"\xde", b"\xdf") + b"".join(pack(k) + pack(v) for k, v in value.items())
    raise TypeError(type(value))


def _head(n, fix, n_fix, one, two, four):
    if n < n_fix:
        return bytes([fix | n])
    if n < 256 and one:
        return one + bytes([n])
    return two + struct.pack(">H", n) if n < 65536 else four + struct.pack(">I", n)


class Unpacker:
    """The values of a well-formed message, one after another."""

    _WORDS = {0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q", 0xCA: ">f",
              0xCB: ">d"}
    _SIZES = {0xD9: ">B", 0xDA: ">H", 0xDB: ">I", 0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xDC: ">H", 0xDD: ">I", 0xDE: ">H",
              0xDF: ">I"}

    def __init__(self, raw):
        self.raw, self.at = raw, 0

    def all(self):
        values = []
        while self.at < len(self.raw):
            values.append(self.value())
        return values

    def _word(self, form):
        (n,) = struct.unpack_from(form, self.raw, self.at)
        self.at += struct.calcsize(form)
        return n

    def _take(self, n):
        self.at += n
        return self.raw[self.at - n:self.at]

    def value(self):
        tag = self._word(">B")
        if tag < 0x80 or tag >= 0xE0:
            return tag if tag < 0x80 else tag - 256
        if tag in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[tag]
        if tag in self._WORDS:
            return self._word(self._WORDS[tag])
        n = tag & 0x1F if tag >= 0xA0 and tag < 0xC0 else tag & 0x0F if tag < 0xA0 else self._word(self._SIZES[tag])
        if tag < 0x90 or tag in (0xDE, 0xDF):
            return {self.value(): self.value() for _ in range(n)}
        if tag < 0xA0 or tag in (0xDC, 0xDD):
            return [self.value() for _ in range(n)]
        raw = self._take(n)
        return raw if tag in (0xC4, 0xC5, 0xC6) else raw.decode(errors="replace")


# --- HTTP --------------------------------------------------------------------------------------------------------
def basic(client, key=KEY):
    return {"Authorization": "Basic " + base64.b64encode(f"{client}:{key}".encode()).decode()}


def request_text(method, path, headers=None, body=b""):
    if isinstance(body, dict):
        body = json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\n" + "".join(f"{k}: {v}\r\n" for k, v in (headers or {}).items())
    if body or method == "POST":
        head += f"Content-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def read_response(s):
    """(status, head, body); status 0 when the connection ends before."""
    raw = b""
    while b"\r\n\r\n" not in raw:
        more = s.recv(65536)
        if not more:
            return 0, raw, b""
        raw += more
    head, body = raw.split(b"\r\n\r\n", 1)
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    while length and len(body) < int(length[1]):
        more = s.recv(65536)
        if not more:
            break
        body += more
    return int(head.split()[1]), head.decode("latin-1"), body


def http(api, method, path, headers=None, body=b"", timeout=10):
    with socket.create_connection(api, timeout=timeout) as s:
        s.sendall(request_text(method, path, {"Connection": "close", **(headers or {})}, body))
        return read_response(s)


def status(api, *args, **kwargs):
    """The status alone; 0 when the connection failed."""
    try:
        return http(api, *args, **kwargs)[0]
    except OSError:
        return 0


def register(api, client, key=KEY, timeout=10):
    return http(api, "POST", "/register", body={"clientID": client, "authKey": key}, timeout=timeout)[0]


def metrics(api, pattern):
    """The values of metrics whose name with labels matches, by that name."""
    text = http(api, "GET", "/metrics")[2].decode()
    return {m[1]: float(m[2]) for m in re.finditer(r"(?m)^([a-z][^ ]*) (\S+)$", text) if re.search(pattern, m[1])}


def version_times(api, seconds, every=0.02):
    """How long GET /version takes, in seconds, over that time; infinity for one that failed."""
    times, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        begin = time.monotonic()
        try:
            answered = http(api, "GET", "/version", timeout=15)[0] == 200
        except OSError:
            answered = False
        times.append(time.monotonic() - begin if answered else float("inf"))
        time.sleep(every)
    return times


# --- WebSocket ---------------------------------------------------------------------------------------------------
class Refused(OSError):
    """The server did not upgrade; status says how."""

    def __init__(self, answer):
        super().__init__(answer)
        self.status = answer


class WebSocket:
    """The plugin's connection. Frames are masked by zeros."""

    def __init__(self, api, client, key=KEY, headers=None):
        self.s = socket.create_connection(api, timeout=20)
        self.s.sendall(request_text("GET", "/ws", {
            "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(), **basic(client, key), **(headers or {})}))
        raw = b""
        while b"\r\n\r\n" not in raw:
            more = self.s.recv(4096)
            if not more:
                raise Refused(0)
            raw += more
        head, self.buf = raw.split(b"\r\n\r\n", 1)
        if int(head.split()[1]) != 101:
            self.s.close()
            raise Refused(int(head.split()[1]))

    @staticmethod
    def frame(opcode, payload, fin=True):
        n = len(payload)
        head = bytes([(0x80 if fin else 0) | opcode])
        if n < 126:
            head += bytes([0x80 | n])
        elif n < 65536:
            head += bytes([0x80 | 126]) + struct.pack(">H", n)
        else:
            head += bytes([0x80 | 127]) + struct.pack(">Q", n)
        return head + bytes(4) + payload

    @classmethod
    def message(cls, kind, data):
        return cls.frame(2, pack(kind) + pack(data))

    @classmethod
    def join_message(cls, call, user, session, dc=True):
        return cls.message("join", {"callID": call, "userID": user, "sessionID": session, "channelID": "ch",
                                    "av1Support": False, "dcSignaling": dc})

    def send(self, kind, data):
        self.s.sendall(self.message(kind, data))

    def join(self, call, user, session, dc=True):
        self.s.sendall(self.join_message(call, user, session, dc))

    def leave(self, session):
        self.send("leave", {"sessionID": session})

    def rtc(self, session, kind, data=None):
        m = {"group_id": "", "user_id": "", "session_id": session, "call_id": "", "type": kind}
        if data is not None:
            m["data"] = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send("rtc", m)

    def offer(self, session, sdp):
        self.rtc(session, 2, {"type": "offer", "sdp": sdp})

    def _need(self, n):
        while len(self.buf) < n:
            more = self.s.recv(65536)
            if not more:
                raise EOFError
            self.buf += more

    def recv(self, timeout=5):
        """The next message as (type, data), or (CLOSE, payload). Answers pings."""
        self.s.settimeout(timeout)
        while True:
            self._need(2)
            opcode, n, at = self.buf[0] & 15, self.buf[1] & 127, 2
            if n >= 126:
                at = 4 if n == 126 else 10
                self._need(at)
                (n,) = struct.unpack(">H" if at == 4 else ">Q", self.buf[2:at])
            self._need(at + n)
            payload, self.buf = self.buf[at:at + n], self.buf[at + n:]
            if opcode == 9:
                self.s.sendall(self.frame(10, payload))
            elif opcode in (8, 10):
                return (CLOSE if opcode == 8 else PONG), payload
            else:
                values = Unpacker(payload).all()
                return values[0], values[1] if len(values) > 1 else None

    def until(self, wanted, timeout=5):
        """The next message that wanted(type, data) takes, or None."""
        end = time.monotonic() + timeout
        with contextlib.suppress(TimeoutError, EOFError, OSError):
            while (left := end - time.monotonic()) > 0:
                message = self.recv(left)
                if wanted(*message):
                    return message
        return None

    def answer(self, session, timeout=5):
        """The SDP of the next description for a session; "close" when it was closed; None when nothing came."""
        def is_it(kind, data):
            if kind == "rtc":
                return data["session_id"] == session and data["type"] == 2
            return kind == CLOSE or kind == "close" and data["sessionID"] == session

        found = self.until(is_it, timeout)
        if found is None or found[0] == CLOSE:
            return None
        return "close" if found[0] == "close" else json.loads(found[1]["data"])["sdp"]

    def close(self):
        self.s.close()


def connect(api, client):
    """Register a tenant and open its WebSocket, hello taken."""
    register(api, client)
    ws = WebSocket(api, client)
    ws.recv()
    return ws


# --- SDP ---------------------------------------------------------------------------------------------------------
FINGERPRINT = "sha-256 " + ":".join(["AA"] * 32)
UFRAG, PWD = "peeru", "q" * 24


def common(ufrag=UFRAG, pwd=PWD, fingerprint=FINGERPRINT, setup="actpass"):
    return (f"c=IN IP4 0.0.0.0\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\na=fingerprint:{fingerprint}\r\n"
            f"a=setup:{setup}\r\n")


def data_section(mid="0", transport=None, proto="UDP/DTLS/SCTP"):
    return f"m=application 9 {proto} webrtc-datachannel\r\n{transport or common()}a=mid:{mid}\r\na=sctp-port:5000\r\n"


def audio_section(mid="1", transport=None, proto="UDP/TLS/RTP/SAVPF", direction="sendrecv", more=""):
    return (f"m=audio 9 {proto} 111\r\n{transport or common()}a=mid:{mid}\r\na={direction}\r\na=rtcp-mux\r\n"
            "a=rtpmap:111 opus/48000/2\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n" + more)


def offer_text(sections, bundle=None, session=""):
    """An offer of these sections. bundle: the mids of the group (those of the sections)."""
    mids = re.findall(r"a=mid:(\S+)", "".join(sections)) if bundle is None else bundle
    return (f"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {' '.join(mids)}\r\n{session}"
            + "".join(sections))
