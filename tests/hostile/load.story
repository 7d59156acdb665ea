#!/usr/bin/env python3
"""What a node says of its load, by which the plugin chooses where new calls go: a node that cannot take any never looks
better than one that can."""
import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time

from client import connect, http
from story import BUILD, Daemons, Process, Tap, free_port, within

SAMPLE_S = 3  # the load is that of the last second


def load_of(api):
    return float(json.loads(http(api, "GET", "/system")[2])["cpu_load"])


def least_load(api, seconds):
    """The least that it says in that time: what else runs on this machine comes and goes."""
    said = []
    for _ in range(2 * seconds):
        time.sleep(0.5)
        said.append(load_of(api))
    return min(said)


def burn(seconds):
    """Keep a core busy."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_no_dataplane(tap):
    with tempfile.TemporaryDirectory() as folder:
        port, path = free_port(), os.path.join(folder, "sluice.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(f'api:\n  listen: "127.0.0.1:{port}"\nstore:\n  url: "lmdb:{folder}/store"\n'
                    f'dataplane:\n  socket: "{folder}/none.sock"\n')
        with open(os.path.join(folder, "log"), "w", encoding="utf-8") as log:
            alone = subprocess.Popen([os.path.join(BUILD, "sluice-cp"), "--config", path], stderr=log)
        api, said = ("127.0.0.1", port), -1

        def serves():
            with contextlib.suppress(OSError):
                return http(api, "GET", "/version")[0] == 200
            return False

        within(5, serves)
        with contextlib.suppress(OSError, ValueError):
            said = least_load(api, 3)
        what = "a node without a dataplane says that it takes no calls"
        tap.check(said >= 1e6, what, said)
        tap.check(http(api, "GET", "/version")[0] == 503, "and so does its /version")
        alone.kill()
        alone.wait()


def test_polling(tap):
    cores = os.cpu_count() or 1
    env = {"SLUICE_DATAPLANE_IDLE": "poll", "SLUICE_DATAPLANE_WORKER_CORES": f"0-{cores - 1}" if cores > 1 else "0"}
    with Daemons(env=env) as d:
        time.sleep(SAMPLE_S)
        said = least_load(d.api, 4)
    tap.check(said < 20, "workers that poll without packets are no load", said)


def test_draining(tap):
    """Both nodes of this machine see the same processors, busy to the last."""
    burners = [Process(burn, SAMPLE_S + 5, nice=0) for _ in range(2 * (os.cpu_count() or 1))]
    with Daemons() as busy, Daemons() as draining:
        ws = connect(draining.api, "stays")
        ws.join("call", "user", "session")
        time.sleep(0.5)
        os.kill(draining.cp, signal.SIGTERM)
        time.sleep(SAMPLE_S)
        of_busy, of_draining = load_of(busy.api), load_of(draining.api)
        os.kill(draining.cp, signal.SIGTERM)
    for b in burners:
        b.result(1)
    tap.check(of_draining > of_busy, "a draining node says more than a saturated one", of_draining, of_busy)


def main():
    tap = Tap()
    test_no_dataplane(tap)
    test_polling(tap)
    test_draining(tap)
    tap.done()


main()
