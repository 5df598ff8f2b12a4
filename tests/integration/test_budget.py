"""What a query and a client may cost, measured on the release build."""

import re
import resource
import signal

import pytest

from support import paths
from support.allocations import Allocations
from support.pgbench import Pgbench
from support.process import Process, run
from support.waiting import wait_for


@pytest.fixture
def release(bed):
    def start(**options):
        return bed.sidecar(binary=paths.release_binary("dbproxy"), **options)
    return start


def test_system_calls_per_query(bed, release):
    """At most eight for a simple query in steady state: two wake-ups, two reads, two writes, and room for two."""
    sidecar = release(limit=20, tls=False)
    Pgbench(bed.directory, bed.host, bed.port, clients=16, seconds=1, name="warm").start().wait(30)

    trace = Process("strace", bed.directory / "strace.log")
    load = Pgbench(bed.directory, bed.host, bed.port, clients=16, seconds=90, script="SELECT 1;\n", name="load").start()
    wait_for(lambda: sidecar.metrics().sum("dbproxy_client_connections") >= 16, 10, "sixteen clients")
    queries = sidecar.metrics().sum("dbproxy_queries_total")
    trace.start(["strace", "-f", "-c", "-o", bed.directory / "calls", "-p", sidecar.process.pid])
    wait_for(lambda: "attached" in trace.log(), 10, "strace is attached")
    first = sidecar.metrics().sum("dbproxy_queries_total")
    wait_for(lambda: sidecar.metrics().sum("dbproxy_queries_total") - first > 5000, 60, "5,000 queries", 0.1)
    trace.stop(signal.SIGINT)
    traced = sidecar.metrics().sum("dbproxy_queries_total") - first
    load.stop()
    table = (bed.directory / "calls").read_text()
    total = int(re.search(r"^\s*[\d.]+\s+[\d.]+\s+\d*\s*(\d+)\s+(?:\d+\s+)?total$", table, re.M)[1])
    assert queries > 0
    assert total / traced <= 8, f"{total / traced:.2f} system calls per query\n{table}"


def test_idle_sidecar_is_small(bed, release):
    """Its own memory; programs and libraries besides, which a node has once: bench/ has the sum, at most 20 MB."""
    own = release().own_bytes()
    assert own <= 4 * 1024 * 1024, f"{own / 1048576:.1f} MB"


def test_idle_clients_are_small(bed, release):
    """At most 4 KB for each idle client without TLS; 5,000 of them, and busy ones beside them."""
    count = min(5000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 1000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    sidecar = release(users=("app", "legacy"), auth={"legacy": {"clientPasswordAuthType": "POSTGRES_MD5"}}, limit=20)
    clients = [bed.raw_session("legacy") for _ in range(100)]
    for client in clients:
        client.query("SELECT 1")
    before = sidecar.resident_bytes()
    more = [bed.raw_session("legacy") for _ in range(count - 100)]
    per_client = (sidecar.resident_bytes() - before) / len(more)
    load = Pgbench(bed.directory, bed.host, bed.port, clients=200, seconds=3, script="SELECT 1;\n").start()
    assert load.wait(60) == 0, load.output()
    assert load.lost_clients() == 0
    for client in [*clients[:20], *more[:20]]:
        assert client.query("SELECT 2") == [["2"]]
    assert per_client <= 4096, f"{per_client:.0f} bytes per idle client"


def test_no_allocation_per_query(bed, release):
    """None in steady state, OpenSSL's own, scrapes and housekeeping aside."""
    allocations = Allocations(bed.directory)
    bed.write(tls=False, pool={"maxConnectionsPercent": 8})
    # With an operator, so that what asks the database for its role is not counted here.
    sidecar = bed.sidecar_of(bed.operator(), binary=paths.release_binary("dbproxy"), env=allocations.env)
    load = Pgbench(bed.directory, bed.host, bed.port, clients=16, seconds=120, script="SELECT 1;\n").start()
    made = allocations.per_query(sidecar)
    load.stop()
    assert made < 0.2, f"{made:.2f} allocations per query"
