"""The demo's cast: a database with a replica, an operator, two sidecars, a thousand clients; and what they show."""

import time
from collections import deque
from dataclasses import dataclass

from engines import WINDOW, Load
from support.manifests import Manifests, endpoint
from support.operator_process import Operator
from support.paths import release_binary
from support.ports import free_port
from support.sidecar import Sidecar
from support.testbed import Testbed
from support.waiting import wait_for

NAMES = tuple(f"shop/orders-{number}" for number in range(1, 21))
FIRST = 2  # of them there are from the beginning


def address(number: int) -> str:
    """On which the sidecar of that number has its endpoints: all have the same ports."""
    return f"127.0.0.{number + 1}"


@dataclass
class Row:
    """One sidecar at one moment."""

    clients: int = 0
    waiting: int = 0
    servers: int = 0
    limit: int = 0
    pinned: int = 0
    tps: float = 0
    p50: float = 0
    p99: float = 0


class Fleet:
    def __init__(self, bed: Testbed, engine, clients: int, rate: float):
        self.bed, self.engine, self.clients, self.rate = bed, engine, clients, rate
        everywhere = [address(number) for number in range(len(NAMES))]
        self.port, self.readers = free_port(*everywhere), free_port(*everywhere)
        self.manifests = Manifests(bed.subdirectory("manifests"))
        self.cluster = None
        self.operator: Operator | None = None
        self.sidecars: list[Sidecar] = []
        self.loads: list[Load] = []
        self._counts: list[deque] = []  # (when, transactions since the start) of each

    def start_database(self):
        self.cluster = self.engine.start(self.bed)

    def start_operator(self, percent: int):
        self.manifests.for_cluster(self.cluster, self.port, pool={"maxConnectionsPercent": percent},
                                   tags={"team": "shop"}, engineFamily=self.engine.family)
        self.manifests.write("orders-readers.yaml", endpoint("orders-readers", "orders", self.readers))
        self.operator = Operator(self.bed.directory, self.manifests.directory, NAMES,
                                 binary=release_binary("dbproxy-operator")).start()

    def start_sidecars(self):
        for number, identity in enumerate(NAMES[:FIRST]):
            self.sidecars.append(Sidecar(
                self.bed.directory, identity.split("/")[1], operator=self.operator, identity=identity,
                bind=address(number), state_dir=self.bed.subdirectory(f"state-{number}"),
                binary=release_binary("dbproxy")).start())

    def start_load(self, seconds: int):
        each = self.clients // len(self.sidecars)
        for sidecar in self.sidecars:
            self.loads.append(self.engine.load(self.bed.directory, sidecar, self.port, each,
                                               self.rate / len(self.sidecars), seconds))
            self._counts.append(deque())

    def stop_load(self):
        for load in self.loads:
            for run in load.runs:
                run.stop()

    def lost_clients(self) -> int:
        """Clients whose connection ended although nobody asked for it."""
        return sum(run.lost_clients() for load in self.loads for run in load.runs)

    def load_is_running(self) -> bool:
        return all(run.process.alive() for load in self.loads for run in load.runs)

    def limits(self) -> list[int]:
        """Of the writer, as each sidecar has it in force."""
        return [max((row["limit"] for row in sidecar.json("targets") if row["role"] == "READ_WRITE"), default=0)
                for sidecar in self.sidecars]

    def rows(self) -> list[Row]:
        return [self._row(load, counts) for load, counts in zip(self.loads, self._counts)]

    def _row(self, load: Load, counts: deque) -> Row:
        now = time.monotonic()
        p50, p99 = self.engine.percentiles(load, now)
        counts.append((now, load.sidecar.metrics().sum("dbproxy_transactions_total")))
        while len(counts) > 2 and now - counts[0][0] > WINDOW:
            counts.popleft()
        (begin, first), (end, last) = counts[0], counts[-1]
        proxy = load.sidecar.json("dbproxies")[0]
        writer = [row for row in load.sidecar.json("targets") if row["role"] == "READ_WRITE"]
        return Row(clients=proxy["clients"]["connected"], waiting=proxy["clients"]["waiting"],
                   servers=sum(row["servers"] for row in writer), limit=sum(row["limit"] for row in writer),
                   pinned=proxy["connections"]["pinned"], tps=(last - first) / (end - begin) if end > begin else 0,
                   p50=p50, p99=p99)

    def transactions(self) -> int:
        """As the sidecars count them."""
        return int(sum(sidecar.metrics().sum("dbproxy_transactions_total") for sidecar in self.sidecars))

    def wait_connected(self, timeout: float):
        def all_there():
            if not self.load_is_running():
                raise RuntimeError("\n".join(run.output() for load in self.loads for run in load.runs))
            return sum(sidecar.json("dbproxies")[0]["clients"]["connected"] for sidecar in self.sidecars) \
                >= self.clients
        wait_for(all_there, timeout, f"{self.clients} clients are connected", 0.1)
