"""One running sidecar (`dbproxy`)."""

import os
import signal
from pathlib import Path

from . import paths
from .pages import Metrics, get, get_json, request
from .ports import free_port
from .process import Process
from .waiting import wait_for

# What a sanitizer or an abort leaves in the log.
_DEFECTS = ("AddressSanitizer", "LeakSanitizer", "runtime error:", "terminate called", "Assertion")


def sanitizer_environment() -> dict:
    return {"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99:" + os.environ.get("ASAN_OPTIONS", ""),
            "UBSAN_OPTIONS": "print_stacktrace=1"}


def check_log(process: Process):
    log = process.log()
    for defect in _DEFECTS:
        if defect in log:
            at = log.index(defect)
            raise AssertionError(f"{process.name}: {log[max(0, at - 500):at + 6000]}")


class Sidecar:
    """Either manifests=DIR, or operator=Operator with a token for `identity`."""

    def __init__(self, directory: Path, name: str = "sidecar", manifests: Path | None = None, operator=None,
                 identity: str = "shop/orders-1", proxy: str | None = None, bind: str = "127.0.0.1",
                 state_dir: Path | None = None, binary: Path | None = None, extra=(), env: dict | None = None,
                 nofile: int = 65536):
        self.directory = Path(directory) / name
        self.directory.mkdir(parents=True, exist_ok=True)
        self.socket_dir = self.directory / "s"
        self.socket_dir.mkdir(exist_ok=True)
        self.name, self.identity, self.bind, self.operator = name, identity, bind, operator
        self.admin = f"127.0.0.1:{free_port('127.0.0.1')}"
        self.binary = binary or paths.binary("dbproxy")
        self._env = {**sanitizer_environment(), **(env or {})}
        self._nofile = nofile
        self.argv = [self.binary, "--bind", bind, "--admin", self.admin, "--socket-dir", self.socket_dir]
        if operator:
            self.argv += ["--operator", operator.address, "--operator-ca", operator.authority,
                          "--token-file", operator.token(identity), "--identity", identity]
            if proxy:
                self.argv += ["--proxy", proxy]
        else:
            self.argv += ["--manifests", manifests]
        if state_dir:
            Path(state_dir).mkdir(mode=0o700, parents=True, exist_ok=True)
            self.argv += ["--state-dir", state_dir]
        self.argv += list(extra)
        self.process = Process(name, self.directory / "log")

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
            if not self.process.alive():
                return True
            return request(self.admin, "/readyz")[0] == 200
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
        code = self.process.stop(number, timeout)
        check_log(self.process)
        if code != 0:
            raise AssertionError(f"{self.name} ended with {code}:\n{self.log()[-3000:]}")

    def kill(self):
        self.process.kill()

    def log(self) -> str:
        return self.process.log()

    def metrics(self) -> Metrics:
        return Metrics(get(self.admin, "/metrics"))

    def json(self, what: str) -> list[dict]:
        """Rows of dbproxies, targets, pools, pins or sidecars: as dbproxyctl gets them."""
        return get_json(self.admin, f"/api/v1/{what}")["items"]

    def resident_bytes(self) -> int:
        return _status(self.process.pid, "VmRSS")

    def peak_bytes(self) -> int:
        return _status(self.process.pid, "VmHWM")

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _status(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)
