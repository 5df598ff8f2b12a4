"""One running operator (`dbproxy-operator --manifests`)."""

from pathlib import Path

from . import paths
from .ports import free_port
from .program import Program


class Operator(Program):
    """Makes its own CA and a token for each identity named in `sidecars`."""

    def __init__(self, directory: Path, manifests: Path, sidecars=("shop/orders-1",), name: str = "operator",
                 binary: Path | None = None, extra=(), env: dict | None = None):
        port, http = free_port("127.0.0.1"), free_port("127.0.0.1")
        super().__init__(directory, name, f"127.0.0.1:{http}", env)
        self.state = self.directory / "state"
        self.address = f"127.0.0.1:{port}"
        self.authority = self.state / "ca.pem"
        self.argv = [binary or paths.binary("dbproxy-operator"), "--manifests", manifests, "--listen", self.address,
                     "--http", self.http, "--state-dir", self.state]
        for sidecar in sidecars:
            self.argv += ["--sidecar", sidecar]
        self.argv += list(extra)

    def token(self, identity: str) -> Path:
        return self.state / "tokens" / identity
