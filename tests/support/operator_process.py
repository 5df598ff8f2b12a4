"""One running operator (`dbproxy-operator --manifests`)."""

import signal
from pathlib import Path

from . import paths
from .pages import Metrics, get, get_json, request
from .ports import free_port
from .process import Process
from .sidecar import check_log, sanitizer_environment
from .waiting import wait_for


class Operator:
    """Makes its own CA and a token for each identity named in `sidecars`."""

    def __init__(self, directory: Path, manifests: Path, sidecars=("shop/orders-1",), name: str = "operator",
                 binary: Path | None = None, extra=()):
        self.directory = Path(directory) / name
        self.state = self.directory / "state"
        self.directory.mkdir(parents=True, exist_ok=True)
        self.name = name
        port, http = free_port("127.0.0.1"), free_port("127.0.0.1")
        self.address, self.http = f"127.0.0.1:{port}", f"127.0.0.1:{http}"
        self.authority = self.state / "ca.pem"
        self.argv = [binary or paths.binary("dbproxy-operator"), "--manifests", manifests, "--listen", self.address,
                     "--http", self.http, "--state-dir", self.state]
        for sidecar in sidecars:
            self.argv += ["--sidecar", sidecar]
        self.argv += list(extra)
        self.process = Process(name, self.directory / "log")

    def token(self, identity: str) -> Path:
        return self.state / "tokens" / identity

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        else:
            self.process.kill()

    def start(self, wait: bool = True):
        self.process.start(self.argv, env=sanitizer_environment(), cwd=self.directory)
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

    def stop(self, number: int = signal.SIGTERM):
        if not self.process.popen or self.process.popen.returncode is not None:
            return
        code = self.process.stop(number)
        check_log(self.process)
        if code != 0:
            raise AssertionError(f"{self.name} ended with {code}:\n{self.log()[-3000:]}")

    def kill(self):
        self.process.kill()

    def log(self) -> str:
        return self.process.log()

    def metrics(self) -> Metrics:
        return Metrics(get(self.http, "/metrics"))

    def json(self, what: str) -> list[dict]:
        """Rows of dbproxies, targets, sidecars or diagnostics: as dbproxyctl gets them."""
        return get_json(self.http, f"/api/v1/{what}")["items"]
