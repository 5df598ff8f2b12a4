#!/usr/bin/env python3
"""What a failover costs a client: from the end of the promotion to its first write that is acknowledged.

    run.py [--runs 20] [--only direct,pgbouncer,dbproxy] [--docs docs] [--note TEXT] [--bin build/release/bin]

A writer and a reader of real PostgreSQL; clients that are connected all along write every 5 ms; the writer is
killed, after a while the reader is promoted. A client that loses its connection or gets an error tries again
every 10 ms. `direct` is libpq with both hosts and target_session_attrs=read-write. PgBouncer knows no writers: at
the end of the promotion, without a delay, its file is written anew with the other host and it gets a RELOAD.
Candidates take turns. With --docs the table and the picture there are written.
"""

import argparse
import contextlib
import datetime
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench")]

import psycopg  # noqa: E402
from harness import picture  # noqa: E402
from support import paths  # noqa: E402
from support.aurora import AuroraCluster  # noqa: E402
from support.manifests import Manifests  # noqa: E402
from support.ports import free_port  # noqa: E402
from support.postgres import PASSWORDS  # noqa: E402
from support.process import Process  # noqa: E402
from support.sidecar import Sidecar  # noqa: E402
from support.testbed import Testbed  # noqa: E402
from support.waiting import wait_for  # noqa: E402

CLIENTS = 8
AWAY = 2.0  # seconds from the writer's death to the promotion, as whoever decides about that takes some
TITLES = {"direct": "direct, both hosts", "pgbouncer": "PgBouncer, pointed to the new writer", "dbproxy": "dbproxy"}


class Client:
    """Writes one row after the other; notes when each write was acknowledged, and what it lost."""

    def __init__(self, dsn: str, stopping: threading.Event):
        self._dsn, self._stopping = dsn, stopping
        self.acknowledged, self.errors, self.lost, self.last_error = [], 0, 0, None
        self._connection = psycopg.connect(dsn, autocommit=True, prepare_threshold=None)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        while not self._stopping.is_set():
            try:
                if self._connection is None:
                    self._connection = psycopg.connect(self._dsn, autocommit=True, prepare_threshold=None)
                self._connection.execute("INSERT INTO written VALUES (1)")
                self.acknowledged.append(time.monotonic())
                time.sleep(0.005)
            except psycopg.Error as error:
                self.errors, self.last_error = self.errors + 1, error
                if self._connection is None or self._connection.closed:
                    self.lost += self._connection is not None
                    self._connection = None
                time.sleep(0.01)
        if self._connection is not None:
            self._connection.close()


def conninfo(host, port, **more) -> str:
    return psycopg.conninfo.make_conninfo(host=host, port=port, user="app", password=PASSWORDS["app"], dbname="orders",
                                          sslmode="disable", connect_timeout=60, **more)


@contextlib.contextmanager
def direct(directory, cluster, _binaries):
    servers = cluster.members
    yield conninfo(",".join(server.host for server in servers), ",".join(str(server.port) for server in servers),
                   target_session_attrs="read-write"), lambda _server: None


@contextlib.contextmanager
def pgbouncer(directory, cluster, _binaries):
    port = free_port("127.0.0.1")
    users, config = directory / "users", directory / "pgbouncer.ini"
    users.write_text(f'"app" "{PASSWORDS["app"]}"\n')

    def point_to(server):
        config.write_text(f"""[databases]
orders = host={server.host} port={server.port} dbname=orders
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
""")
    point_to(cluster.writer)
    for path in (directory, users, config):
        path.chmod(0o755)
    process = Process("pgbouncer", directory / "pgbouncer.log")
    process.start(["/usr/sbin/pgbouncer", config], user=cluster.user)
    try:
        wait_for(lambda: psycopg.connect(conninfo("127.0.0.1", port)).close() or True, 20, "PgBouncer serves")

        def promoted(server):
            point_to(server)
            process.send(signal.SIGHUP)
        yield conninfo("127.0.0.1", port), promoted
    finally:
        process.stop()


@contextlib.contextmanager
def dbproxy(directory, cluster, binaries):
    manifests, port = Manifests(directory / "m"), free_port("127.0.0.1")
    manifests.for_cluster(cluster, port, db_cluster=cluster.spec(), pool={"connectionBorrowTimeoutSeconds": 60})
    sidecar = Sidecar(directory, manifests=manifests.directory, binary=binaries / "dbproxy").start()
    try:
        wait_for(lambda: sum(row["health"] == "AVAILABLE" for row in sidecar.json("targets")) == 2, 20, "both are seen")
        yield conninfo("127.0.0.1", port), lambda _server: None
    finally:
        sidecar.stop()


CANDIDATES = {"direct": direct, "pgbouncer": pgbouncer, "dbproxy": dbproxy}


def one_run(bed, name, number, binaries) -> dict:
    directory = bed.subdirectory(f"{name}-{number}")
    with (AuroraCluster(directory / "cluster", members=2, authority=bed.authority) as cluster,
          CANDIDATES[name](directory, cluster, binaries) as (dsn, told)):
        old, new = cluster.writer, cluster.replicas[0]
        old.sql("CREATE TABLE written (a int); GRANT ALL ON written TO app", "orders")
        cluster.wait_caught_up()
        stopping = threading.Event()
        clients = [Client(dsn, stopping) for _ in range(CLIENTS)]
        try:
            wait_for(lambda: all(len(client.acknowledged) > 5 for client in clients), 30,
                     f"all clients write to {dsn}")
            old.kill()
            time.sleep(AWAY)
            new.promote()
            promoted = time.monotonic()
            told(new)
            cluster.note_writer(new)
            wait_for(lambda: all(client.acknowledged[-1] > promoted for client in clients), 120, "all write again")
        finally:
            stopping.set()
            for client in clients:
                client.thread.join(60)
        waits = [next(at for at in client.acknowledged if at > promoted) - promoted for client in clients]
        return {"first": min(waits), "last": max(waits), "lost": sum(client.lost for client in clients),
                "errors": sum(client.errors for client in clients)}


def table(results) -> list[str]:
    lines = ["| | runs | first client writes, median | slowest run | all clients write, median | slowest run | "
             "connections that clients lost, per run | errors that clients saw, per run |", "|---|---|---|---|---|---|---|---|"]
    for name, runs in results.items():
        first, last = [run["first"] * 1000 for run in runs], [run["last"] * 1000 for run in runs]
        lines.append(f"| {TITLES[name]} | {len(runs)} | {statistics.median(first):.0f} ms | {max(first):.0f} ms | "
                     f"{statistics.median(last):.0f} ms | {max(last):.0f} ms | "
                     f"{statistics.mean(run['lost'] for run in runs):.0f} | "
                     f"{statistics.mean(run['errors'] for run in runs):.0f} |")
    return lines


def write_docs(docs: Path, results, versions: str, note: str):
    names = list(results)
    groups = [(TITLES[name], {name: statistics.median(run["last"] for run in results[name]) * 1000}) for name in names]
    worst = [(TITLES[name], {name: max(run["last"] for run in results[name]) * 1000}) for name in names]
    svg = picture.bars("After a failover", "From the end of the promotion until all clients write again; less is better",
                       "milliseconds", [("median", [("", {k: v for _, one in groups for k, v in one.items()})]),
                                        ("slowest run", [("", {k: v for _, one in worst for k, v in one.items()})])],
                       [(name, TITLES[name]) for name in names])
    (docs / "failover.svg").write_text(svg)
    text = __doc__.split("\n\n", 2)[2].strip().replace("\n", " ")
    (docs / "failover.md").write_text("\n".join([
        "# Failover, measured", "",
        f"`bench/failover/run.py`, {datetime.date.today()}, {os.cpu_count()} shared cores; {versions}. {note}".strip(), "",
        text, "",
        f"{CLIENTS} clients, {AWAY:g} s between the writer's death and the promotion.", "",
        "![Until all clients write again](failover.svg)", "", *table(results), ""]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--only", default=",".join(CANDIDATES))
    parser.add_argument("--docs", type=Path)
    parser.add_argument("--note", default="", help="how it was measured, for the page")
    parser.add_argument("--bin", type=Path, default=ROOT / "build" / "release" / "bin")
    options = parser.parse_args()
    results = {name: [] for name in options.only.split(",")}
    with Testbed("fo") as bed:
        for number in range(options.runs):
            for name, runs in results.items():
                runs.append(one_run(bed, name, number, options.bin.resolve()))
                print(f"{name} {number}: {runs[-1]}", flush=True)
    print("\n".join(table(results)))
    if options.docs:
        def version(*command):
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0].strip()
        write_docs(options.docs, results, ", ".join([
            version(paths.DEBIAN_POSTGRES / "postgres", "--version"), version("/usr/sbin/pgbouncer", "--version"),
            version(options.bin / "dbproxy", "--version")]), options.note)


if __name__ == "__main__":
    main()
