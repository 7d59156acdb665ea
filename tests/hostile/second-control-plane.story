#!/usr/bin/env python3
"""Somebody starts a sluice-cp by hand beside the one that serves: running calls do not notice."""
import contextlib
import os
import subprocess
import tempfile
import time

from story import Daemons, Gun, Tap, second_control_plane


def test_second_control_plane(tap):
    with Daemons() as d, tempfile.TemporaryDirectory() as folder:
        gun, connects = Gun(d, 6), len(d.logged("dataplane .*: connected"))
        time.sleep(3)
        other = second_control_plane(d, folder, "other")
        figures = gun.result(60)
        connects = len(d.logged("dataplane .*: connected")) - connects
        with contextlib.suppress(subprocess.TimeoutExpired):
            other.wait(1)
        ended = other.poll()
        other.kill()
        other.wait()
        with open(os.path.join(folder, "other.log"), encoding="utf-8") as f:
            said = f.read()
        tap.check(figures["loss"] == 0, "a second sluice-cp on the socket of a serving one disturbs no call",
                  f"{figures['loss'] * 100:.2f} % lost, {connects} reconnects")
        tap.check(ended == 69, "it ends with 69", ended)
        tap.check("another sluice-cp" in said, "and says why", *said.splitlines()[-2:])


def test_one_store(tap):
    """The same, with a socket of its own and the store of the one that serves."""
    with Daemons() as d, tempfile.TemporaryDirectory() as folder:
        other = second_control_plane(d, folder, "twin", **{f"lmdb:{folder}/store": f"lmdb:{d.dir}/store",
                                                           f"{d.dir}/dp.sock": f"{folder}/none.sock"})
        with contextlib.suppress(subprocess.TimeoutExpired):
            other.wait(4)
        ended = other.poll()
        other.kill()
        other.wait()
        with open(os.path.join(folder, "twin.log"), encoding="utf-8") as f:
            said = f.read()
        tap.check(ended == 69 and "store.url" in said, "a second sluice-cp on one store directory ends with 69", ended,
                  *said.splitlines()[-1:])


def main():
    tap = Tap()
    test_second_control_plane(tap)
    test_one_store(tap)
    tap.done()


main()
