"""One of our programs, running: started, waited for by its /readyz, asked over HTTP, and ended with a look at its log."""

import os
import signal
from pathlib import Path

from . import hidden
from .pages import Metrics, get, get_json, request
from .process import Process
from .waiting import wait_for

# What a sanitizer or an abort leaves in the log.
_DEFECTS = ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:", "terminate called", "Assertion")
_SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99:" + os.environ.get("ASAN_OPTIONS", ""),
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "exitcode=99:" + os.environ.get("TSAN_OPTIONS", ""),
}


class Program:
    """`http` is where it serves pages. Whoever derives from it sets `argv` before start()."""

    def __init__(self, directory: Path, name: str, http: str, env: dict | None = None, nofile: int | None = None):
        self.directory = Path(directory) / name
        self.directory.mkdir(parents=True, exist_ok=True)
        self.name, self.http = name, http
        self.argv: list = []
        self.process = Process(name, self.directory / "log")
        self._env, self._nofile = {**_SANITIZERS, **(env or {})}, nofile

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        else:
            self.process.kill()

    def start(self, wait: bool = True):
        self.process.start(self.argv, env=self._env, nofile=self._nofile, cwd=self.directory)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout: float = 20):
        def ready():
            return not self.process.alive() or request(self.http, "/readyz")[0] == 200
        try:
            wait_for(ready, timeout, f"{self.name} is ready")
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.log()[-3000:]}") from None
        if not self.process.alive():
            raise RuntimeError(f"{self.name} ended with {self.process.popen.returncode}:\n{self.log()[-3000:]}")
        return self

    def stop(self, number: int = signal.SIGTERM, timeout: float = 20):
        """Ends it as Kubernetes does, and insists on a clean end."""
        if not self.process.popen or self.process.popen.returncode is not None:
            return
        hidden.check_pages(self.name, self.http)
        code = self.process.stop(number, timeout)
        log = self.log()
        for defect in _DEFECTS:
            if defect in log:
                at = log.index(defect)
                raise AssertionError(f"{self.name}: {log[max(0, at - 500):at + 6000]}")
        if code != 0:
            raise AssertionError(f"{self.name} ended with {code}:\n{log[-3000:]}")
        hidden.check(f"the log of {self.name}", log)

    def kill(self):
        self.process.kill()

    def log(self) -> str:
        return self.process.log()

    def metrics(self) -> Metrics:
        return Metrics(get(self.http, "/metrics"))

    def json(self, what: str) -> list[dict]:
        """Rows of dbproxies, targets, sidecars, …: as dbproxyctl gets them."""
        return get_json(self.http, f"/api/v1/{what}")["items"]
