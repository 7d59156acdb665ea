#!/usr/bin/env python3
"""Mistakes in the configuration are told before the start, by the names that the configuration has; logs say who came, over
what, and nothing that is not so."""
import os
import resource
import signal
import subprocess
import tempfile
import time

from client import connect, data_section, offer_text, register, status
from story import BUILD, Daemons, Gun, Tap, free_port, within

CLEAN = {k: v for k, v in os.environ.items() if not k.startswith(("SLUICE_", "RTCD_"))}


def make_certificates(folder):
    for name in ("one", "two"):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{folder}/{name}.key", "-out",
                        f"{folder}/{name}.pem"], check=True, stderr=subprocess.DEVNULL)


def check_config(folder, text, env=None):
    """(accepted by both daemons, what they said)"""
    path = os.path.join(folder, "sluice.yaml")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text.replace("FOLDER", folder))
    runs = [subprocess.run([os.path.join(BUILD, f"sluice-{name}"), "--check-config", "--config", path], text=True,
                           env={**CLEAN, **(env or {})}, capture_output=True, check=False) for name in ("cp", "dp")]
    return all(r.returncode == 0 for r in runs), " ".join((r.stderr + r.stdout).strip() for r in runs)


WRONG = {
    "a certificate that is not there": ("api:\n  tls:\n    enable: true\n    cert_file: FOLDER/none.pem\n"
                                        "    key_file: FOLDER/one.key\n", "cert_file"),
    "a key of another certificate": ("api:\n  tls:\n    enable: true\n    cert_file: FOLDER/one.pem\n"
                                     "    key_file: FOLDER/two.key\n", "key_file"),
    "an address that this machine does not have": ("rtc:\n  ice_address_udp: [192.0.2.1]\n", "ice_address_udp"),
    "a core that this machine does not have": ('dataplane:\n  worker_cores: "900"\n', "worker_cores"),
    "a device that this machine does not have": ('dataplane:\n  ports: ["0000:99:00.0"]\n  addresses: ["192.0.2.5/24"]\n',
                                                 "ports"),
    "a store that cannot be written": ("store:\n  url: lmdb:/proc/none\n", "store"),
    "an admin key that can be guessed": ("api:\n  security:\n    enable_admin: true\n    admin_secret_key: short\n",
                                         "admin_secret_key"),
}


def test_check_config(tap):
    with tempfile.TemporaryDirectory() as folder:
        make_certificates(folder)
        for what, (text, key) in WRONG.items():
            accepted, said = check_config(folder, text)
            tap.check(not accepted and key in said, f"--check-config refuses {what} by its key", said[:120])
        accepted, said = check_config(folder, "log:\n  level: info\n", {"SLUICE_LIMTS_SESSIONS": "5"})
        tap.check("SLUICE_LIMTS_SESSIONS" in said, "a misspelt variable of ours is told", said[:120])


def test_foreign_store(tap):
    """rtcd's own store stays as it is."""
    with tempfile.TemporaryDirectory() as folder:
        store = os.path.join(folder, "rtcd")
        os.mkdir(store)
        for name in ("000000000.data", "config.json", "index"):
            with open(os.path.join(store, name), "w", encoding="ascii") as f:
                f.write("{}")
        env = {**CLEAN, "RTCD_STORE_DATASOURCE": store, "SLUICE_API_LISTEN": f"127.0.0.1:{free_port()}",
               "SLUICE_DATAPLANE_SOCKET": f"{folder}/none.sock"}
        child = subprocess.Popen([os.path.join(BUILD, "sluice-cp")], env=env, stderr=subprocess.DEVNULL)
        time.sleep(1)
        child.kill()
        child.wait()
        tap.check(sorted(os.listdir(store)) == ["000000000.data", "config.json", "index"],
                  "RTCD_STORE_DATASOURCE does not make a store inside of rtcd's", os.listdir(store))


def test_logs(tap):
    with Daemons(env={"SLUICE_API_SECURITY_MAX_CLIENTS": "3"}) as d:
        ws = connect(d.api, "tenant-of-the-log")
        ws.join("call-of-the-log", "user-of-the-log", "session-of-the-log")
        ws.offer("session-of-the-log", offer_text([data_section()]))
        ws.answer("session-of-the-log")
        gun = Gun(d, 3, people=3)
        time.sleep(2.5)
        joined = d.logged("session-of-the-log.*join|join.*session-of-the-log")
        tap.check(any("user-of-the-log" in line and "tenant-of-the-log" in line for line in joined),
                  "who joins is logged with user and tenant", *joined[:1])
        tap.check(bool(d.logged(r"session \S+: .*(?i:udp).*127\.0\.0\.1|session \S+: .*127\.0\.0\.1.*(?i:udp)")),
                  "over which address and protocol somebody connects is logged")
        for i in range(4):
            register(d.api, f"more{i}")
        named = d.logged("max_clients")
        tap.check(any("api.security.max_clients" in line for line in named), "a limit is named by its key", *named[:1])
        since = len(d.lines)
        os.kill(d.dp, signal.SIGKILL)
        within(8, lambda: len(d.logged("dataplane .*: connected", since)))
        time.sleep(1)
        gun.result()
        refused = d.logged("CMD_.*refused", since)
        tap.check(not refused, "a dataplane that was restarted refuses nothing that ended with it", *refused[:2])


def test_hangup(tap):
    with Daemons() as d:
        os.kill(d.cp, signal.SIGHUP)
        os.kill(d.dp, signal.SIGHUP)
        time.sleep(1)
        tap.check(d.restarts() == 0 and status(d.api, "GET", "/version") == 200, "SIGHUP ends no daemon",
                  *d.logged("ended:"))


def main():
    tap = Tap()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    test_check_config(tap)
    test_foreign_store(tap)
    test_logs(tap)
    test_hangup(tap)
    tap.done()


main()
