#!/usr/bin/env python3
"""Offers in shapes that old, strict and rare clients write: what RFC 8829, 8866 and 8839 allow is answered; what they do not
is refused by closing the session, with the reason in the log. Silence is neither."""
from client import FINGERPRINT, audio_section, common, connect, data_section, offer_text
from story import Daemons, Tap, within

UFRAG, PWD = "peeru", "q" * 24
SHA1 = "sha-1 " + ":".join(["AA"] * 20)


def with_transport(**kwargs):
    t = common(**kwargs)
    return offer_text([data_section("0", t), audio_section("1", t)])


LEGAL = {
    "a data section in the form of Firefox up to 60": lambda: offer_text([
        f"m=application 9 DTLS/SCTP 5000\r\n{common()}a=mid:0\r\na=sctpmap:5000 webrtc-datachannel 256\r\n",
        audio_section("1")]),
    "the same with UDP/DTLS/SCTP": lambda: offer_text([
        f"m=application 9 UDP/DTLS/SCTP 5000\r\n{common()}a=mid:0\r\na=sctpmap:5000 webrtc-datachannel 256\r\n"]),
    "TCP/DTLS/SCTP": lambda: offer_text([data_section("0", proto="TCP/DTLS/SCTP"), audio_section("1")]),
    "an identifier of 38 bytes": lambda: offer_text([data_section("{" + "6" * 36 + "}")]),
    "a client that only answers handshakes": lambda: with_transport(setup="passive"),
    "a user fragment of 64 characters": lambda: with_transport(ufrag="u" * 64),
    "a user fragment of 256 characters": lambda: with_transport(ufrag="u" * 256),
    "a password of 256 characters": lambda: with_transport(pwd="p" * 256),
    "audio as RTP/SAVPF": lambda: offer_text([data_section("0"), audio_section("1", proto="RTP/SAVPF")]),
    "audio as UDP/TLS/RTP/SAVP": lambda: offer_text([data_section("0"), audio_section("1", proto="UDP/TLS/RTP/SAVP")]),
    "two groups of bundled sections": lambda: offer_text(
        [data_section("0"), audio_section("1"), audio_section("2")], bundle=["0", "1"], session="a=group:BUNDLE 2\r\n"),
    "a section of a kind nobody knows": lambda: offer_text([
        data_section("0"), f"m=text 9 UDP/TLS/RTP/SAVPF 98\r\n{common()}a=mid:1\r\na=rtpmap:98 t140/1000\r\n"]),
}
# Against a standard, and written by clients that exist: to be answered, or refused with a reason.
EITHER = {
    "a user fragment with a hyphen": lambda: with_transport(ufrag="ab-cd"),
    "simulcast in the form of its drafts": lambda: offer_text([data_section("0"), (
        f"m=video 9 UDP/TLS/RTP/SAVPF 96\r\n{common()}a=mid:1\r\na=sendonly\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\n"
        "a=rid:lo send\r\na=rid:hi send\r\na=simulcast: send rid=lo;hi\r\n")]),
}
REFUSED = {
    "a fingerprint of SHA-1 alone": lambda: with_transport(fingerprint=SHA1),
    "no fingerprint": lambda: with_transport().replace(f"a=fingerprint:{FINGERPRINT}\r\n", ""),
    "no user fragment": lambda: with_transport().replace(f"a=ice-ufrag:{UFRAG}\r\n", ""),
    "no section": lambda: offer_text([]),
    "no SDP": lambda: "hello",
}


def check_reason(tap, d, name, what):
    """The line that says why the session's offer was refused, whatever its words."""
    lines = within(1, lambda: d.logged(rf"session {name}: .*refused \(.{{5,}}\)"))
    tap.check(bool(lines), f"a reason is in the log: {what}", *d.logged(f"session {name}:")[-2:])


def main():
    tap = Tap()
    with Daemons() as d:
        ws = connect(d.api, "shapes")
        for i, (what, text) in enumerate(LEGAL.items()):
            name = f"legal{i}"
            ws.join("call", "user", name)
            ws.offer(name, text())
            outcome = ws.answer(name, 2)
            tap.check(outcome is not None and outcome != "close", f"is answered: {what}",
                      (outcome or "nothing").splitlines()[0])
        for i, (what, text) in enumerate(REFUSED.items()):
            name = f"refused{i}"
            ws.join("call", "user", name)
            ws.offer(name, text())
            outcome = ws.answer(name, 2)
            tap.check(outcome == "close", f"ends its session: {what}", (outcome or "nothing").splitlines()[0])
            check_reason(tap, d, name, what)
        for i, (what, text) in enumerate(EITHER.items()):
            name = f"either{i}"
            ws.join("call", "user", name)
            ws.offer(name, text())
            outcome = ws.answer(name, 2)
            if outcome == "close":
                check_reason(tap, d, name, what)
            else:
                tap.check(outcome is not None, f"a reason is in the log: {what}", outcome.splitlines()[0])
        tap.check(d.restarts() == 0, "no daemon ends")
    tap.done()


main()
