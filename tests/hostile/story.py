"""What the stories of this folder share: TAP, both daemons through run-both, their processes, logs and metrics.

A story is a program that prints TAP and ends within about 20 s. Its test names say the right behaviour; numbers that were
measured go to comments, so that a name stays the same from run to run (`expected-failures` names tests by it).
"""
import contextlib
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, "build", os.environ.get("MODE", "release"))
FORK = multiprocessing.get_context("fork")


def free_port(kind=socket.SOCK_STREAM):
    """A port of 127.0.0.1 that is free now, below the range of ephemeral ports of the tests' own clients."""
    while True:
        port = random.randrange(10240, 32000)
        with socket.socket(socket.AF_INET, kind) as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port


def within(seconds, condition, every=0.05):
    """Wait until condition() is true; its last value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() >= end:
            return value
        time.sleep(every)


def percentile(values, p):
    """The p-th percentile, infinity of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * p // 100)] if ordered else float("inf")


def _crash(*error):
    """A story that breaks off ends with another status than one whose tests failed."""
    sys.__excepthook__(*error)
    sys.stdout.flush()
    os._exit(70)


sys.excepthook = _crash


class Tap:
    """The lines of one story."""

    def __init__(self):
        self.n = self.n_failed = 0

    def check(self, ok, what, *measured):
        """One test. measured: what was seen, a comment; of a test that is good it stays in build/tap."""
        self.n += 1
        self.n_failed += not ok
        print(f"{'ok' if ok else 'not ok'} {self.n} - {what}", flush=True)
        if measured:
            print("#:" if ok else "#", *measured, flush=True)
        return ok

    def skip(self, what, why):
        self.n += 1
        print(f"ok {self.n} - {what} # SKIP {why}", flush=True)

    @staticmethod
    def say(*words):
        print("#", *words, flush=True)

    def done(self):
        print(f"1..{self.n}", flush=True)
        sys.exit(1 if self.n_failed else 0)


class Daemons:
    """Both daemons, as `make run` starts them. env: further SLUICE_ variables; config: YAML to append."""

    def __init__(self, env=None, config=None, store=None):
        self.dir = tempfile.mkdtemp(prefix="sluice-hostile.")
        self.api_port, self.media_port = free_port(), free_port(socket.SOCK_DGRAM)
        self.lines, self.dp, self.cp = [], 0, 0
        self._start(self._environment(env or {}, config, store))

    def _environment(self, env, config, store):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("SLUICE_", "RTCD_"))}
        clean.update(API_PORT=str(self.api_port), MEDIA_PORT=str(self.media_port), RUN_DIR=self.dir,
                     SLUICE_API_SECURITY_REGISTER_PER_MIN="100000")
        clean.pop("HOST", None)
        if store:
            clean["STORE"] = store
        if config:
            clean["EXTRA_CONFIG"] = os.path.join(self.dir, "extra.yaml")
            with open(clean["EXTRA_CONFIG"], "w", encoding="utf-8") as f:
                f.write(config)
        clean.update(env)
        return clean

    def _start(self, env):
        self.runner = subprocess.Popen([os.path.join(ROOT, "tools/devtools/run-both"), BUILD], cwd=ROOT, env=env, text=True,
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace")
        ready = threading.Event()
        threading.Thread(target=self._read, args=(ready,), daemon=True).start()
        if not ready.wait(30) or not self.dp:
            print("Bail out! the daemons did not start", *self.lines[-20:], sep="\n# ", flush=True)
            self.stop()
            sys.exit(1)

    def _read(self, ready):
        for line in self.runner.stdout:
            self.lines.append(line.rstrip("\n"))
            if found := re.match(r"ready: .*dp_pid=(\d+) cp_pid=(\d+)", line):
                self.dp, self.cp = map(int, found.groups())
                ready.set()
            elif found := re.match(r"restarted: (dp|cp) pid=(\d+)", line):
                setattr(self, found[1], int(found[2]))
        ready.set()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def api(self):
        return ("127.0.0.1", self.api_port)

    @property
    def media(self):
        return ("127.0.0.1", self.media_port)

    @property
    def config_file(self):
        return os.path.join(self.dir, "sluice.yaml")

    def logged(self, pattern, since=0):
        """Lines of both logs that match."""
        return [line for line in self.lines[since:] if re.search(pattern, line)]

    def restarts(self):
        """How often a daemon ended."""
        return len(self.logged(r"^sluice-(dp|cp) .*ended:"))

    def complaints(self):
        return self.logged(r"AddressSanitizer|ThreadSanitizer|runtime error|broken invariant")

    def stop(self):
        self.runner.send_signal(signal.SIGTERM)
        for more in (6, 3, 3):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.runner.wait(more)
                break
            self.runner.send_signal(signal.SIGTERM)
        if self.runner.poll() is None:
            self.runner.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def cpu_seconds(pid):
    """What a process has run so far."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def status_of(pid):
    """/proc/PID/status as a dictionary."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


class Process:
    """A function that runs beside the story in a process of its own, by default at the lowest priority, so that what an
    attacker computes is not taken for what the daemons do. result() waits for what it returns; None when it failed."""

    def __init__(self, function, *args, nice=19):
        self._pipe, theirs = FORK.Pipe(False)
        self._process = FORK.Process(target=self._run, args=(theirs, function, args, nice), daemon=True)
        self._process.start()
        theirs.close()

    @staticmethod
    def _run(pipe, function, args, nice):
        os.nice(nice)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        pipe.send(function(*args))

    def result(self, timeout=30):
        value = None
        with contextlib.suppress(EOFError):
            value = self._pipe.recv() if self._pipe.poll(timeout) else None
        self._process.join(0.5)
        if self._process.is_alive():
            self._process.kill()
        return value


def go_program():
    """Build tests/interop/go/cmd/hostile; its path, or None without a usable Go."""
    out = os.path.join(ROOT, "build", "hostile-go")
    found = subprocess.run(["tests/interop/find-go"], cwd=ROOT, text=True, stdout=subprocess.PIPE, check=False)
    if found.returncode != 0:
        return None
    subprocess.run([found.stdout.strip(), "build", "-buildvcs=false", "-o", out, "./cmd/hostile"],
                   cwd=os.path.join(ROOT, "tests/interop/go"), check=True)
    return out


class Peers:
    """The Go program at work: real WebRTC sessions. It prints `ready` when they are up, then one line of JSON."""

    def __init__(self, url, *args, nice=0):
        self._child = subprocess.Popen([os.path.join(ROOT, "build/hostile-go"), "-api", url, *map(str, args)],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                       preexec_fn=lambda: os.nice(nice))
        self.hello = self._child.stdout.readline().strip()
        self.is_ready = self.hello.startswith("ready")

    def result(self, timeout=30):
        """Its figures; {} when it failed."""
        with contextlib.suppress(subprocess.TimeoutExpired, json.JSONDecodeError):
            out, _ = self._child.communicate(timeout=timeout)
            return json.loads(out.strip().splitlines()[-1]) if out.strip() else {}
        self._child.kill()
        return {}

    def ask(self, word):
        """Send a line and read one."""
        self._child.stdin.write(word + "\n")
        self._child.stdin.flush()
        return self._child.stdout.readline().strip()


class Gun:
    """A call of sluicegun's that stands by: does it lose anything?"""

    def __init__(self, daemons, seconds, people=5, voices=2, **options):
        self._json = os.path.join(daemons.dir, f"gun{random.randrange(1 << 30)}.json")
        more = [f"--{k}={v}" for k, v in options.items()]
        self._child = subprocess.Popen(
            [os.path.join(BUILD, "sluicegun"), f"--url={daemons.url}", "--calls=1", f"--people={people}", "--quiet",
             f"--voices={voices}", f"--duration={seconds}", f"--json={self._json}", "--max-loss=100", *more],
            stderr=subprocess.PIPE, text=True)

    def result(self, timeout=60):
        """Its figures; loss is 1 when there are none."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            _, err = self._child.communicate(timeout=timeout)
            with contextlib.suppress(OSError, json.JSONDecodeError), open(self._json, encoding="utf-8") as f:
                return json.load(f)
            Tap.say("sluicegun:", err.strip())
        self._child.kill()
        return {"loss": 1}


def second_control_plane(d, folder, name, **keys):
    """Another sluice-cp of the same configuration, but for the listen address, the store and what keys say."""
    with open(d.config_file, encoding="utf-8") as f:
        text = f.read().replace(f"127.0.0.1:{d.api_port}", f"127.0.0.1:{free_port()}")
    text = text.replace(f"lmdb:{d.dir}/store", f"lmdb:{folder}/store")
    for key, value in keys.items():
        text = text.replace(key, value)
    path = os.path.join(folder, name + ".yaml")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    with open(os.path.join(folder, name + ".log"), "w", encoding="utf-8") as log:
        return subprocess.Popen([os.path.join(BUILD, "sluice-cp"), "--config", path], stderr=log)
