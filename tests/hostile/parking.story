#!/usr/bin/env python3
"""A tenant's sessions that have a path and never finish DTLS, each with packets that wait for its keys: what waits for one
tenant takes nothing from the calls of others."""
import time

from attacks import PARKING_SESSIONS, idle_sessions, send_media
from client import metrics
from story import Daemons, Gun, Process, Tap

ATTACK_S = 5


def main():
    tap = Tap()
    with Daemons(env={"SLUICE_LIMITS_JOINS_PER_S": "100000"}) as d:
        ws, held = idle_sessions(d)
        tap.check(len(held) == PARKING_SESSIONS, "a tenant may have many sessions")
        gun = Gun(d, ATTACK_S - 3)
        time.sleep(1.5)
        flood = Process(send_media, held, ATTACK_S)
        figures, sent = gun.result(), flood.result()
        empty = metrics(d.api, 'drops_total{reason="no_mbuf"')
        tap.check(figures["loss"] < 0.001, "their packets that wait cost other tenants none",
                  f"{figures['loss'] * 100:.2f} % lost beside {sent} packets", empty)
        tap.check(sum(empty.values()) == 0, "the pool of packet buffers is never empty")
        ws.close()
    tap.done()


main()
