#!/usr/bin/env python3
"""sysbench side by side: the database itself, a bare relay (the floor), HAProxy, MySQL Router and dbproxy, without TLS.

    run.py [--server mysql-8.0,mariadb-10.11] [--repeats 3] [--seconds 3] [--clients 1,16,64] [--docs docs] [--note TEXT]

Point selects and sysbench's read-only transactions, as texts and as prepared statements. The CPU is that of the proxy's
process from before sysbench to its end, log-ins included, divided by the queries, after a second of warming up.
Candidates take turns, the figures are medians. With --docs the tables there are written (docs/benchmarks-mysql.md).
MySQL Router, which is no package of Debian 12, takes part where `mysqlrouter` is found; MariaDB it does not speak to.
"""

import argparse
import datetime
import os
import re
import shutil
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench")]

from harness import candidates, database, processes  # noqa: E402
from support import mysql  # noqa: E402
from support.manifests import Manifests, config_map, db_proxy, secret  # noqa: E402
from support.mysql import PASSWORDS  # noqa: E402
from support.process import run  # noqa: E402
from support.sidecar import Sidecar  # noqa: E402
from support.testbed import Testbed  # noqa: E402

USER, POOL, MAX_CONNECTIONS = "native", 20, 200
LOADS = {"point select": "oltp_point_select", "read-only": "oltp_read_only"}
STYLES = {"texts": "disable", "prepared": "auto"}
GOAL = 1.25  # times the floor


class Router(candidates.Candidate):
    name, title = "router", "MySQL Router, connections shared"

    def start(self, workspace, server_port, release_bin):
        self.port = processes.free_port()
        directory = Path(workspace.path)
        config = workspace.write("router.conf", f"""[DEFAULT]
logging_folder = {directory}
runtime_folder = {directory}
data_folder = {directory}
connect_timeout = 5
[connection_pool]
max_idle_server_connections = {POOL}
[routing:bench]
bind_address = 127.0.0.1
bind_port = {self.port}
destinations = 127.0.0.1:{server_port}
routing_strategy = first-available
protocol = classic
client_ssl_mode = DISABLED
server_ssl_mode = DISABLED
connection_sharing = 1
max_connections = 500
""")
        self.process = workspace.start(self.name, [candidates.find("mysqlrouter"), "--config", config])
        workspace.wait_listening(self.process, self.port)


class DBProxy:
    name, title = "dbproxy", "dbproxy"

    def __init__(self, cluster, directory: Path, binary: Path):
        self.port = processes.free_port()
        manifests = Manifests(directory / "manifests")
        percent = POOL * 100 // MAX_CONNECTIONS
        manifests.write("orders.yaml", db_proxy(
            cluster, self.port, users=(USER,), tls=False, engineFamily="MYSQL",
            auth={USER: {"clientPasswordAuthType": "MYSQL_NATIVE_PASSWORD"}},
            pool={"maxConnectionsPercent": percent, "maxIdleConnectionsPercent": percent}))
        manifests.write("secrets.yaml", secret(f"orders-{USER}", USER, PASSWORDS[USER]),
                        config_map("database-ca", {"ca.pem": ""}))
        self.sidecar = Sidecar(directory, "sidecar", manifests=manifests.directory, binary=binary).start()
        self.process = self.sidecar.process


def sysbench(port: int, load: str, style: str, clients: int, *command: str) -> str:
    return run(["sysbench", LOADS[load], "--db-driver=mysql", "--mysql-host=127.0.0.1", f"--mysql-port={port}",
                f"--mysql-user={USER}", f"--mysql-password={PASSWORDS[USER]}", "--mysql-db=orders", "--mysql-ssl=off",
                "--tables=1", "--table-size=10000", f"--db-ps-mode={STYLES[style]}", f"--threads={clients}",
                "--percentile=99", *command], timeout=120).stdout


def measure(candidate, load: str, style: str, clients: int, seconds: int) -> tuple:
    """CPU per query in µs (none without a proxy), queries a second, the 99th percentile of latency in ms."""
    pid = candidate.process.pid if candidate.process else None
    before = processes.cpu_ns(pid) if pid else 0
    said = sysbench(candidate.port, load, style, clients, f"--time={seconds}", "run")
    used = processes.cpu_ns(pid) - before if pid else 0
    queries, rate = re.search(r"queries:\s+(\d+)\s+\(([\d.]+) per sec", said).groups()
    late = re.search(r"99th percentile:\s+([\d.]+)", said)[1]
    return (used / 1000 / int(queries) if pid else None, float(rate), float(late))


def start(workspace, bed, cluster, binaries: Path) -> list:
    made = []
    router = (Router,) if cluster.version == mysql.MYSQL and shutil.which("mysqlrouter") else ()
    for kind in (candidates.Direct, candidates.Relay, candidates.HAProxy, *router):
        candidate = kind()
        candidate.start(workspace, cluster.writer.port, str(binaries))
        made.append(candidate)
    return [*made, DBProxy(cluster, bed.subdirectory(f"sidecar-{cluster.version}"), binaries / "dbproxy")]


def bench(bed, version: str, options) -> dict:
    cluster = bed.mysql_cluster(version=version, settings={"max_connections": MAX_CONNECTIONS, "innodb_buffer_pool_size": "128M"})
    results = {}
    with processes.Workspace() as workspace:
        started = start(workspace, bed, cluster, options.release)
        sysbench(cluster.writer.port, "point select", "texts", 1, "prepare")
        for candidate in started:  # who pools opens its connections once
            sysbench(candidate.port, "point select", "texts", max(options.clients), "--time=1", "run")
        for load in LOADS:
            for style in STYLES:
                for clients in options.clients:
                    samples = {candidate.name: [] for candidate in started}
                    for _ in range(options.repeats):
                        for candidate in started:
                            samples[candidate.name].append(measure(candidate, load, style, clients, options.seconds))
                    for candidate in started:
                        taken = list(zip(*samples[candidate.name]))
                        middle = [None if None in values else statistics.median(values) for values in taken]
                        results[load, style, clients, candidate.name] = middle
                        cpu = f"{middle[0]:6.1f} µs" if middle[0] is not None else "         "
                        print(f"{version} {load:12} {style:8} {clients:3} clients {candidate.name:8} {cpu} "
                              f"{middle[1]:8.0f} q/s p99 {middle[2]:7.2f} ms", flush=True)
        started[-1].sidecar.stop()
    cluster.stop()
    return results


def table(version: str, results: dict, options) -> list[str]:
    names = {"direct": "direct", "relay": "bare relay (floor)", "haproxy": "HAProxy", "router": Router.title, "dbproxy": "dbproxy"}
    measured = {name for *_, name in results}
    names = {name: title for name, title in names.items() if name in measured}
    lines = [f"## {version}", "", "CPU of the proxy per query in µs, queries a second, 99th percentile in ms.", "",
             "| | clients | " + " | ".join(names.values()) + " | dbproxy ÷ floor |", "|---" * (len(names) + 3) + "|"]
    for load in LOADS:
        for style in STYLES:
            for clients in options.clients:
                cells = []
                for name in names:
                    cpu, rate, late = results[load, style, clients, name]
                    cells.append((f"{cpu:.1f} · " if cpu is not None else "") + f"{rate:,.0f}/s · {late:.2f}")
                ratio = results[load, style, clients, "dbproxy"][0] / results[load, style, clients, "relay"][0]
                lines.append(f"| {load}, {style} | {clients} | " + " | ".join(cells) + f" | {ratio:.2f} |")
    return [*lines, ""]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default=f"{mysql.MYSQL},{mysql.MARIADB}")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--clients", default="1,16,64", type=lambda text: [int(count) for count in text.split(",")])
    parser.add_argument("--release", type=Path, default=ROOT / "build/release/bin")
    parser.add_argument("--docs", type=Path)
    parser.add_argument("--note", default="")
    options = parser.parse_args()
    page = ["# MySQL: side by side", "",
            f"sysbench {database.version_of(['sysbench', '--version'])}, {datetime.date.today().isoformat()}, "
            f"{len(os.sched_getaffinity(0))} shared cores, loopback without TLS; {options.repeats} rounds of "
            f"{options.seconds} s each, medians; a pool of {POOL}. `bench/mysql/run.py --docs docs` writes this page. "
            f"The goal is {GOAL} times the floor in CPU per query. Only ratios within one run mean anything. "
            f"{options.note}".rstrip(), ""]
    with Testbed("mybench") as bed:
        for version in options.server.split(","):
            page += table(version, bench(bed, version, options), options)
    if options.docs:
        (options.docs / "benchmarks-mysql.md").write_text("\n".join(page))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except processes.BenchError as error:
        sys.exit(f"bench: {error}")
