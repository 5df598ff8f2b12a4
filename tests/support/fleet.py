"""bench_sidecars: thousands of sidecars in one process that are their control streams, and nothing behind them."""

import resource
from pathlib import Path

from . import paths
from .pages import get_json
from .ports import free_port
from .process import Process
from .waiting import wait_for


class Fleet:
    """Context manager. `sidecars`: (identity, token, proxies) for each."""

    def __init__(self, directory: Path, address: str, authority: Path, sidecars: list[tuple[str, str, list[str]]]):
        self.size = len(sidecars)
        self.http = f"127.0.0.1:{free_port()}"
        self.process = Process("fleet", Path(directory) / "fleet.log")
        listed = Path(directory) / "fleet.sidecars"
        listed.write_text("".join(f"{identity} {token} {' '.join(proxies)}\n" for identity, token, proxies in sidecars))
        listed.chmod(0o600)
        self._argv = [paths.release_binary("bench_sidecars"), "--operator", address, "--operator-ca", authority,
                      "--sidecars", listed, "--http", self.http]

    def __enter__(self):
        self.process.start(self._argv, nofile=self.size + 1000)
        return self

    def __exit__(self, *_):
        self.process.kill()

    def state(self, mark: int = 0) -> dict:
        """`up`, `in_force` with maxConnectionsPercent `mark`, and when (time.monotonic_ns); see bench/operator."""
        return get_json(self.http, f"/state?mark={mark}")

    def wait_up(self, timeout: float = 60) -> dict:
        """Until the operator has taken every stream."""
        return self._wait(lambda state: state["up"], 0, timeout, "all streams are up")

    def wait_in_force(self, mark: int, timeout: float = 60) -> dict:
        return self._wait(lambda state: state["in_force"], mark, timeout, f"{mark} percent is in force everywhere")

    def _wait(self, count, mark: int, timeout: float, what: str) -> dict:
        last = {}

        def reached():
            last.update(self.state(mark))
            return last if count(last) == self.size else None
        try:
            return wait_for(reached, timeout, what, interval=0.05)
        except TimeoutError as error:
            raise TimeoutError(f"{str(error)[:200]}: {last}\n{self.process.log()[-2000:]}") from None


def allow_files(wanted: int) -> None:
    """For this process and those it starts; refused where the machine does not allow so many."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise RuntimeError(f"needs {wanted} open files, and the hard limit is {hard}: raise it (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
