"""Child processes that never outlive the program that started them.

Each runs in a session of its own and is told by the kernel when its parent dies; what is still there at exit, or on
SIGINT, SIGTERM and SIGHUP, is killed with its whole group.
"""

import atexit
import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_running: set["Process"] = set()
_lock = threading.Lock()


class Startable:
    """A context manager out of start() and stop(); what could not start is stopped as well."""

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_):
        self.stop()


class Process:
    """A daemon with its output in a file. `quick_death` is what the kernel sends it when this program dies."""

    def __init__(self, name: str, log: Path, quick_death: int = signal.SIGKILL):
        self.name = name
        self.log_path = Path(log)
        self.quick_death = quick_death
        self.popen: subprocess.Popen | None = None

    def start(self, argv, user: str | None = None, env: dict | None = None, cwd=None, nofile: int | None = None):
        def in_child():
            _libc.prctl(_PR_SET_PDEATHSIG, int(self.quick_death), 0, 0, 0)
            if nofile:
                hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
                resource.setrlimit(resource.RLIMIT_NOFILE, (min(nofile, hard), hard))

        with open(self.log_path, "ab") as log:
            self.popen = subprocess.Popen(
                [str(word) for word in argv],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, cwd=cwd,
                preexec_fn=in_child, env={**os.environ, **(env or {})},
                **({"user": user, "group": user, "extra_groups": []} if user else {}))
        with _lock:
            _running.add(self)
        return self

    @property
    def pid(self) -> int:
        return self.popen.pid

    def alive(self) -> bool:
        return self.popen is not None and self.popen.poll() is None

    def send(self, number: int):
        if self.alive():
            self.popen.send_signal(number)

    def wait(self, timeout: float = 30) -> int:
        code = self.popen.wait(timeout)
        with _lock:
            _running.discard(self)
        return code

    def stop(self, number: int = signal.SIGTERM, timeout: float = 15) -> int | None:
        """Asks, waits, and then kills the group. Returns the exit code, or None if it never ran."""
        if self.popen is None:
            return None
        self.send(number)
        try:
            return self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self):
        if self.popen is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.wait()

    def log(self) -> str:
        with contextlib.suppress(FileNotFoundError):
            return self.log_path.read_text(errors="replace")
        return ""


def kill_all():
    with _lock:
        left = list(_running)
    for process in left:
        with contextlib.suppress(ProcessLookupError, OSError):
            os.killpg(process.popen.pid, process.quick_death)
    for process in left:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.popen.wait(5)
            continue
        process.kill()


def exit_on_signals():
    """Turns the usual signals into an ordinary exit, so that context managers and atexit run."""
    def leave(number, _frame):
        for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(other, signal.SIG_IGN)
        sys.exit(128 + number)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)


atexit.register(kill_all)


def run(argv, check=True, timeout=60, input=None, env=None, user=None, cwd=None) -> subprocess.CompletedProcess:
    """A command that ends by itself; its output is in the error if it fails."""
    done = subprocess.run(
        [str(word) for word in argv], text=True, capture_output=True, timeout=timeout, cwd=cwd,
        env={**os.environ, **(env or {})},
        **({"input": input} if input is not None else {"stdin": subprocess.DEVNULL}),
        **({"user": user, "group": user, "extra_groups": []} if user else {}))
    if check and done.returncode != 0:
        raise RuntimeError(f"{argv[0]} ended with {done.returncode}\n{' '.join(map(str, argv))}\n"
                           f"{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done
