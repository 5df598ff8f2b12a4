"""One running sidecar (`dbproxy`)."""

import os
import re
from pathlib import Path

from . import paths
from .ports import free_port
from .program import Program


class Sidecar(Program):
    """Either manifests=DIR, or operator=Operator with a token for `identity`."""

    def __init__(self, directory: Path, name: str = "sidecar", manifests: Path | None = None, operator=None,
                 identity: str = "shop/orders-1", proxy: str | None = None, bind: str = "127.0.0.1",
                 state_dir: Path | None = None, binary: Path | None = None, extra=(), env: dict | None = None,
                 nofile: int = 65536, inside=None):
        host = inside.inside if inside else "127.0.0.1"
        super().__init__(directory, name, f"{host}:{free_port('127.0.0.1')}", env, nofile)
        bind = host if inside else bind
        self.admin = self.http
        self.socket_dir = self.directory / "s"
        self.socket_dir.mkdir(exist_ok=True)
        self.identity, self.bind, self.operator = identity, bind, operator
        self.binary = binary or paths.binary("dbproxy")
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
        if inside:
            self.argv = [*inside.enter, *self.argv]

    def resident_bytes(self) -> int:
        return _status(self.process.pid, "VmRSS")

    def own_bytes(self) -> int:
        """Memory that is this process' alone: what it shares with the page cache is as much as the kernel likes to map."""
        rollup = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return int(re.search(r"^Private_Dirty:\s+(\d+) kB", rollup, re.M)[1]) * 1024

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
