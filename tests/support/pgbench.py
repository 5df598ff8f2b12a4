"""Load by pgbench: runs in the background, with throughput and latencies taken from its own transaction log."""

import glob
import re
import signal
from pathlib import Path

from . import paths
from .process import Process


class Pgbench:
    """`script` is SQL text; without one, the built-in select-only script (-S) runs. Passwords go by PGPASSWORD."""

    def __init__(self, directory: Path, host: str, port: int, clients: int, seconds: int, user: str = "app",
                 password: str = "app-secret", database: str = "orders", script: str | None = None, threads: int = 1,
                 protocol: str = "simple", rate: float | None = None, sslmode: str = "disable", name: str = "pgbench",
                 extra=()):
        self.directory = Path(directory) / name
        self.directory.mkdir(parents=True, exist_ok=True)
        self.argv = [paths.DEBIAN_POSTGRES / "pgbench", "-n", "-h", host, "-p", port, "-U", user, "-c", clients,
                     "-j", threads, "-T", seconds, "-M", protocol, "-l", "--log-prefix", self.directory / "log"]
        if script is None:
            self.argv.append("-S")
        else:
            (self.directory / "script.sql").write_text(script)
            self.argv += ["-f", self.directory / "script.sql"]
        if rate:
            self.argv += ["-R", rate]
        self.argv += [*extra, database]
        self._env = {"PGPASSWORD": password, "PGSSLMODE": sslmode, "PGAPPNAME": "pgbench"}
        self.process = Process(name, self.directory / "output")
        self._offsets: dict[str, int] = {}

    def start(self):
        self.process.start(self.argv, env=self._env, nofile=65536)
        return self

    def stop(self):
        if self.process.alive():
            self.process.stop(signal.SIGINT)

    def wait(self, timeout: float) -> int:
        return self.process.wait(timeout)

    def output(self) -> str:
        return self.process.log()

    def new_latencies(self) -> list[float]:
        """Milliseconds of the transactions logged since the last call, without the time that a rate made them wait."""
        latencies = []
        for path in glob.glob(str(self.directory / "log.*")):
            with open(path, "rb") as log:
                log.seek(self._offsets.get(path, 0))
                data = log.read()
            complete = data.rfind(b"\n") + 1
            self._offsets[path] = self._offsets.get(path, 0) + complete
            for line in data[:complete].splitlines():
                words = line.split()
                if len(words) >= 6 and words[2].isdigit():
                    lag = int(words[6]) if len(words) >= 7 and words[6].isdigit() else 0
                    latencies.append((int(words[2]) - lag) / 1000)
        return latencies

    def lost_clients(self) -> int:
        """Clients that pgbench gave up on."""
        return len(re.findall(r"client \d+ (?:aborted|script|receiving|sending)", self.output()))

    def tps(self) -> float:
        found = re.search(r"tps = ([0-9.]+)", self.output())
        return float(found[1]) if found else 0.0


def percentile(values: list[float], percent: float) -> float:
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
