#!/usr/bin/env python3
"""Who guesses keys is slowed down; who has the right one is not, whatever others of the same address do (a proxy or a NAT
makes all tenants one address)."""
import os
import signal
import time

from attacks import ADMIN_KEY, fail_often, guess
from client import Refused, WebSocket, basic, http, register, status
from story import Daemons, Process, Tap, within

GUESS_S = 8
FAILURES, FAILURES_PER_S = 20, 0.5  # that an address has
TENANTS = 5


def opens(api, tenant):
    """The status of an upgrade."""
    try:
        WebSocket(api, tenant).close()
        return 101
    except Refused as e:
        return e.status
    except OSError:
        return 0


def is_refused_at_once(api):
    """Has this address used up its failures? The key is not even compared then."""
    begin = time.monotonic()
    answer = status(api, "GET", "/calls/x/sessions", basic("nobody", "w" * 32))
    return answer == 429 or time.monotonic() - begin < 0.005


def test_guesses(tap):
    with Daemons(env={"SLUICE_API_SECURITY_ENABLE_ADMIN": "true",
                      "SLUICE_API_SECURITY_ADMIN_SECRET_KEY": ADMIN_KEY}) as d:
        answers, right, accepted = guess(d.api, GUESS_S)
        judged = answers * accepted / max(right, 1)
        limit = FAILURES + FAILURES_PER_S * GUESS_S
        # A right key is refused with the guesses beside it as long as the answers of both are judged alike.
        tap.check(judged < 3 * limit, "guesses of the admin key are judged no faster than failures are forgiven",
                  f"{answers} answers, {accepted} of {right} right keys accepted: {judged:.0f} judged, limit {limit:.0f}")
        within(15, lambda: status(d.api, "GET", "/version") == 200)
        time.sleep(1)
        admin = [status(d.api, "POST", "/unregister", basic("nobody", ADMIN_KEY), b"{}") for _ in range(3)]
        tap.check(400 in admin, "the admin's right key is accepted after the guesses of others at its address", admin)


def test_neighbours(tap):
    with Daemons() as d:
        for i in range(TENANTS):
            register(d.api, f"tenant{i}")
        os.kill(d.cp, signal.SIGKILL)  # what it remembers of good logins is gone
        within(10, lambda: len(d.logged("^restarted: cp")) == 1 and status(d.api, "GET", "/version") == 200)
        failing = [Process(fail_often, d.api, 8, nice=0) for _ in range(3)]
        within(6, lambda: is_refused_at_once(d.api))
        during = [opens(d.api, f"tenant{i}") for i in range(1, TENANTS)]
        wrong = http(d.api, "GET", "/calls/x/sessions", basic("nobody", "w" * 32))
        n = sum(f.result() or 0 for f in failing)
        tap.check(during == [101] * (TENANTS - 1), "tenants with right keys connect while another of their address fails",
                  during, f"beside {n} failures")
        tap.check(wrong[0] == 429 and "retry-after" in wrong[1].lower(), "who fails too often is told so by 429 with "
                  "Retry-After", wrong[0], wrong[2].strip())
        tap.check(bool(d.logged(r"cp \| .*nobody")), "the log says who failed")
        tap.check(opens(d.api, "tenant2") == 101, "and connect afterwards")


def main():
    tap = Tap()
    test_guesses(tap)
    test_neighbours(tap)
    tap.done()


main()
