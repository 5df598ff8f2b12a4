"""Plays generated scripts by the native player: many lanes at once, for runs of millions of steps.

What differs there is played again by player.py, which shrinks it.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support.manifests import Manifests  # noqa: E402
from support.ports import free_port  # noqa: E402
from support.postgres import PASSWORDS, Cluster  # noqa: E402
from support.sidecar import Sidecar  # noqa: E402

from generator import Generator  # noqa: E402
from player import USER, make_databases  # noqa: E402
from script import to_text  # noqa: E402

# No JIT: its guesses of what a statement costs are wrong here, and each compilation costs more than hundreds of steps.
SETTINGS = {"max_connections": "400", "shared_buffers": "'32MB'", "max_locks_per_transaction": "128", "jit": "off"}


@dataclass
class Result:
    scripts: int = 0
    steps: int = 0
    different: list[int] = field(default_factory=list)  # seeds
    after: int = 0  # the next seed
    seconds: float = 0


class NativePlayer:
    """Owns a sidecar in front of `cluster`, which has been started with SETTINGS."""

    def __init__(self, cluster: Cluster, directory: Path, program: Path, lanes: int, binary: Path | None = None):
        self._cluster, self._program, self._lanes = cluster, program, lanes
        for lane in range(lanes):
            make_databases(cluster, f"straight{lane}", f"proxied{lane}")
        self._port = free_port("127.0.0.1")
        manifests = Manifests(directory / "manifests")
        manifests.for_cluster(cluster, self._port, tls=False, users=(USER,),
                              pool={"maxConnectionsPercent": 50, "maxIdleConnectionsPercent": 25})
        self._sidecar = Sidecar(directory, "native", manifests=manifests.directory, binary=binary)

    def __enter__(self):
        self._sidecar.start()
        return self

    def __exit__(self, kind, *_):
        self._sidecar.kill() if kind else self._sidecar.stop()

    def play(self, seeds: Iterator[int], goes_on: Callable[[Result], bool], tell: Callable[[str], None]) -> Result:
        """Until there are no seeds, or goes_on() says no."""
        writer, result, since = self._cluster.writer, Result(), time.monotonic()
        argv = [self._program, writer.directory, str(writer.port), str(self._port), USER, PASSWORDS[USER], str(self._lanes)]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        def feed():
            try:
                for seed in seeds:
                    if not goes_on(result):
                        break
                    result.after = seed + 1
                    process.stdin.write(f"{seed}\n{to_text(Generator(seed).script())}\n\n")
                process.stdin.close()
            except BrokenPipeError:
                pass  # the player has said why

        feeder = threading.Thread(target=feed)
        feeder.start()
        told = since
        for line in process.stdout:
            what, seed, steps = line.split()
            result.scripts += 1
            result.steps += int(steps)
            result.seconds = time.monotonic() - since
            if what != "same":
                result.different.append(int(seed))
                tell(f"different: --seed {seed}")
            if time.monotonic() - told > 60:
                told = time.monotonic()
                tell(f"{result.steps:,} steps, {result.steps / result.seconds:,.0f} a second, next seed {result.after}, "
                     f"{len(result.different)} scripts different")
        feeder.join()
        if process.wait() != 0:
            raise RuntimeError("the native player has failed")
        return result
