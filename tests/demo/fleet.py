"""The demo's cast: a database with a replica, an operator, two sidecars, a thousand clients; and what they show."""

import time
from collections import deque
from dataclasses import dataclass, field

from support.manifests import Manifests, endpoint
from support.operator_process import Operator
from support.paths import release_binary
from support.pgbench import Pgbench, percentile
from support.ports import free_port
from support.sidecar import Sidecar
from support.testbed import Testbed
from support.waiting import wait_for

# What one client does: mostly a look-up, now and then a transaction.
LOOK_UP = "\\set id random(1, 1000)\nSELECT balance FROM accounts WHERE id = :id;\n"
TRANSFER = ("\\set a random(1, 1000)\n\\set b random(1, 1000)\nBEGIN;\n"
            "UPDATE accounts SET balance = balance - 1 WHERE id = :a;\n"
            "SELECT balance FROM accounts WHERE id = :b;\nCOMMIT;\n")
SCHEMA = ("CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL);"
          "INSERT INTO accounts SELECT n, 1000 FROM generate_series(1, 1000) n;"
          "ALTER TABLE accounts SET (fillfactor = 50); GRANT SELECT, UPDATE ON accounts TO app;")
WINDOW = 2.0  # seconds over which the table averages
NAMES = ("shop/orders-1", "shop/orders-2")


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


@dataclass
class Load:
    """The clients of one sidecar, and what was seen of them in the last two seconds."""

    sidecar: Sidecar
    runs: list = field(default_factory=list)
    latencies: deque = field(default_factory=deque)  # (when, milliseconds of the transactions logged since the last)
    counts: deque = field(default_factory=deque)     # (when, transactions since the start)


class Fleet:
    def __init__(self, bed: Testbed, clients: int, rate: float):
        self.bed, self.clients, self.rate = bed, clients, rate
        self.port = free_port("127.0.0.1", "127.0.0.2")
        self.readers = free_port("127.0.0.1", "127.0.0.2")
        self.manifests = Manifests(bed.subdirectory("manifests"))
        self.cluster = None
        self.operator: Operator | None = None
        self.sidecars: list[Sidecar] = []
        self.loads: list[Load] = []

    def start_database(self):
        self.cluster = self.bed.cluster(version=15, replicas=1)
        self.cluster.writer.sql(SCHEMA, "orders")

    def start_operator(self, percent: int):
        self.manifests.for_cluster(self.cluster, self.port, pool={"maxConnectionsPercent": percent},
                                   tags={"team": "shop"})
        self.manifests.write("orders-readers.yaml", endpoint("orders-readers", "orders", self.readers))
        self.operator = Operator(self.bed.directory, self.manifests.directory, NAMES,
                                 binary=release_binary("dbproxy-operator")).start()

    def start_sidecars(self):
        for number, identity in enumerate(NAMES, 1):
            self.sidecars.append(Sidecar(
                self.bed.directory, identity.split("/")[1], operator=self.operator, identity=identity,
                bind=f"127.0.0.{number}", state_dir=self.bed.subdirectory(f"state-{number}"),
                binary=release_binary("dbproxy")).start())

    def start_load(self, seconds: int):
        each = self.clients // len(self.sidecars)
        for sidecar in self.sidecars:
            load = Load(sidecar)
            for name, script, share in (("look-up", LOOK_UP, 0.8), ("transfer", TRANSFER, 0.2)):
                load.runs.append(Pgbench(
                    self.bed.directory, sidecar.bind, self.port, clients=max(1, round(each * share)), seconds=seconds,
                    script=script, rate=self.rate / len(self.sidecars) * share,
                    name=f"{sidecar.name}-{name}").start())
            self.loads.append(load)

    def stop_load(self):
        for load in self.loads:
            for run in load.runs:
                run.stop()

    def lost_clients(self) -> int:
        """Clients whose connection ended although nobody asked for it."""
        return sum(run.lost_clients() for load in self.loads for run in load.runs)

    def load_is_running(self) -> bool:
        return all(run.process.alive() for load in self.loads for run in load.runs)

    def sessions(self) -> int:
        """Server connections, as the database counts them."""
        return self.cluster.writer.sessions("app", "application_name <> 'dbproxy-monitor'")

    def limits(self) -> list[int]:
        """Of the writer, as each sidecar has it in force."""
        return [max((row["limit"] for row in sidecar.json("targets") if row["role"] == "READ_WRITE"), default=0)
                for sidecar in self.sidecars]

    def rows(self) -> list[Row]:
        return [self._row(load) for load in self.loads]

    def _row(self, load: Load) -> Row:
        now = time.monotonic()
        load.latencies.append((now, [value for run in load.runs for value in run.new_latencies()]))
        load.counts.append((now, load.sidecar.metrics().sum("dbproxy_transactions_total")))
        for seen in (load.latencies, load.counts):
            while len(seen) > 2 and now - seen[0][0] > WINDOW:
                seen.popleft()
        window = [value for _, values in load.latencies for value in values]
        (begin, first), (end, last) = load.counts[0], load.counts[-1]
        proxy = load.sidecar.json("dbproxies")[0]
        writer = [row for row in load.sidecar.json("targets") if row["role"] == "READ_WRITE"]
        return Row(clients=proxy["clients"]["connected"], waiting=proxy["clients"]["waiting"],
                   servers=sum(row["servers"] for row in writer), limit=sum(row["limit"] for row in writer),
                   pinned=proxy["connections"]["pinned"], tps=(last - first) / (end - begin) if end > begin else 0,
                   p50=percentile(window, 50), p99=percentile(window, 99))

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
