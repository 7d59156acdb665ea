#!/usr/bin/env python3
"""What a daemon that was taken over could do: both give up every privilege that they do not need, whoever starts them, and
neither can stop the other."""
import ctypes
import errno
import fcntl
import os
import resource
import signal
import time

from client import basic, http, register
from story import Daemons, Gun, Tap, resident_mib, status_of

PIDFD_OPEN, PIDFD_GETFD = 434, 438
WATCHDOG_S = 10  # a worker of sluice-dp that hangs for so long ends it


def holds(pid, needle):
    """Is this anywhere in the writable memory of the process?"""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            where, mode = line.split()[:2]
            begin, end = (int(x, 16) for x in where.split("-"))
            if not mode.startswith("rw") or end - begin > 256 << 20 or line.rstrip().endswith(("[vvar]", "[stack]")):
                continue
            try:
                mem.seek(begin)
                if needle in mem.read(end - begin):
                    return True
            except OSError:
                continue
    return False


def test_privileges(tap, d, name, pid):
    status = status_of(pid)
    tap.check(status["NoNewPrivs"] == "1", f"sluice-{name} can gain no privileges")
    tap.check(status["Seccomp"] == "2", f"sluice-{name} has a list of system calls")
    with open(f"/proc/{pid}/limits", encoding="utf-8") as f:
        core = next(line for line in f if line.startswith("Max core file size")).split()[4]
    tap.check(core == "0", f"sluice-{name} leaves no core file", core)
    # The kernel gives the files of a process that is not dumpable to root.
    tap.check(os.stat(f"/proc/{pid}/maps").st_uid == 0 and status["Uid"].split()[0] != "0",
              f"sluice-{name} cannot be read by others of its user")
    if os.geteuid() == 0:
        tap.check(status["Uid"].split()[0] != "0", f"sluice-{name}, started by root, runs as another user", status["Uid"])
    else:
        tap.skip(f"sluice-{name}, started by root, runs as another user", "not root")


def descriptors(pid, *targets):
    """Our copies of the process's descriptors whose names begin so."""
    libc, copies = ctypes.CDLL(None, use_errno=True), []
    handle = libc.syscall(PIDFD_OPEN, pid, 0)
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            if not os.readlink(f"/proc/{pid}/fd/{name}").startswith(targets):
                continue
        except OSError:
            continue
        fd = libc.syscall(PIDFD_GETFD, handle, int(name), 0)
        if fd >= 0:
            copies.append(fd)
    os.close(handle)
    return copies


def fill(fd):
    """What is sent through this eventfd or message queue will wait."""
    libc = ctypes.CDLL(None, use_errno=True)
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_NONBLOCK)
    try:
        while libc.mq_send(fd, b"", 0, 0) == 0:
            pass
        while ctypes.get_errno() == errno.EBADF:
            os.write(fd, (0xFFFFFFFFFFFFFFFE).to_bytes(8, "little"))
    except BlockingIOError:
        pass
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_NONBLOCK)


def test_doorbell(tap, d):
    """sluice-cp, taken over, makes every doorbell that it shares one that waits; a stopped sluice-cp reads none of them."""
    dp = d.dp
    bells = descriptors(d.cp, "anon_inode:[eventfd]", "/sluice-")
    if not bells:
        tap.skip("a full doorbell stops no media", "this user may not copy descriptors")
        return
    gun = Gun(d, 4)
    time.sleep(2.5)
    os.kill(d.cp, signal.SIGSTOP)
    filled = time.monotonic()
    for fd in bells:
        fill(fd)
    figures = gun.result(40)
    tap.check(figures["loss"] == 0, "a control plane that lets no doorbell ring stops no media",
              f"{figures['loss'] * 100:.2f} % lost")
    time.sleep(max(0, WATCHDOG_S + 3 - (time.monotonic() - filled)))
    tap.check(d.dp == dp and not d.logged(r"sluice-dp .*ended"), "and does not end the dataplane", *d.logged("ended:"))
    os.kill(d.cp, signal.SIGKILL)


def test_secrets(tap, d):
    secret = "secret-" + os.urandom(12).hex() + "-0123456789"
    register(d.api, "wiped", secret)
    http(d.api, "GET", "/calls/x/sessions", basic("wiped", secret))
    time.sleep(0.3)
    try:
        found = holds(d.cp, secret.encode())
    except OSError:
        tap.skip("a tenant's key is wiped after use", "this user may not read the memory of its processes")
        return
    tap.check(not found, "a tenant's key is wiped after use", f"{resident_mib(d.cp):.0f} MiB searched")


def main():
    tap = Tap()
    if os.geteuid() == 0:  # what the daemons inherit would allow core files
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    with Daemons() as d:
        for name in ("dp", "cp"):
            test_privileges(tap, d, name, getattr(d, name))
        test_secrets(tap, d)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with Daemons() as d:
        test_doorbell(tap, d)
    tap.done()


main()
