#!/usr/bin/env python3
"""An operator empties the store, or copies a node's configuration with its id: no running call ends of it."""
import contextlib
import os
import subprocess
import tempfile
import time

from client import connect
from story import Daemons, Gun, Tap, free_port, second_control_plane, within


@contextlib.contextmanager
def redis():
    """A Redis on a port of its own; gives the port."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        child = subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly",
                                  "no", "--dir", folder], stdout=subprocess.DEVNULL)
        within(5, lambda: command(port, "ping") == "PONG")
        try:
            yield port
        finally:
            child.kill()
            child.wait()


def command(port, *words):
    return subprocess.run(["redis-cli", "-p", str(port), *words], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=False).stdout.strip()


def test_flushed(tap):
    with redis() as port, Daemons(store=f"redis://127.0.0.1:{port}/0") as d:
        gun = Gun(d, 14)
        time.sleep(2.5)
        ws = connect(d.api, "stays")
        command(port, "flushall")
        figures = gun.result(60)
        tap.check(figures["loss"] == 0, "emptying Redis ends no running call", f"{figures['loss'] * 100:.2f} % lost",
                  *d.logged("unregistered elsewhere")[:1])
        ws.s.settimeout(0.2)
        again = within(3, lambda: command(port, "exists", "sluice:cred:stays") == "1")
        tap.check(again, "and what was in it is written again")
        lines = d.logged(r"cp \| .*(store|redis|Redis).*(empty|lost|gone|again)")
        tap.check(bool(lines), "and the log says that it was emptied", *lines[:1])


def test_same_node_id(tap):
    config = "  node_id: one\n"
    with redis() as port, Daemons(store=f"redis://127.0.0.1:{port}/0", config=config) as d, \
            tempfile.TemporaryDirectory() as folder:
        within(5, lambda: command(port, "exists", "sluice:node:one") == "1")
        other = second_control_plane(d, folder, "twin", **{f"{d.dir}/dp.sock": f"{folder}/none.sock"})
        with contextlib.suppress(subprocess.TimeoutExpired):
            other.wait(4)
        other.kill()
        other.wait()
        with open(os.path.join(folder, "twin.log"), encoding="utf-8") as f:
            said = f.read()
        tap.check("node_id" in said or bool(d.logged("node_id")), "two nodes of one store.node_id are noticed",
                  *said.splitlines()[-2:])


def main():
    tap = Tap()
    test_flushed(tap)
    test_same_node_id(tap)
    tap.done()


main()
