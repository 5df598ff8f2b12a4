"""What a query and a client may cost, measured on the release build."""

import re
import resource
import signal
import sys

import pytest

from support import paths
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
    sidecar = release()
    assert sidecar.resident_bytes() <= 20 * 1024 * 1024, f"{sidecar.resident_bytes() / 1048576:.1f} MB"


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
    """None in steady state, OpenSSL's own aside: what is counted is housekeeping and this test's own scrapes."""
    library, counted = bed.directory / "malloc_count.so", bed.directory / "allocations"
    run(["cc", "-O2", "-shared", "-fPIC", "-o", library, paths.ROOT / "tests/support/malloc_count.c"])
    bed.write(tls=False, pool={"maxConnectionsPercent": 8})
    # With an operator, so that what asks the database for its role is not counted here.
    sidecar = bed.sidecar_of(bed.operator(), binary=paths.release_binary("dbproxy"),
                             env={"LD_PRELOAD": str(library), "MALLOC_COUNT_FILE": str(counted)})
    load = Pgbench(bed.directory, bed.host, bed.port, clients=16, seconds=60, script="SELECT 1;\n").start()

    def queries() -> float:
        return sidecar.metrics().sum("dbproxy_queries_total")

    def allocations() -> int:
        return int.from_bytes(counted.read_bytes()[:8], sys.byteorder)
    wait_for(lambda: queries() > 5000, 20, "a steady state", 0.1)
    first_queries, first = queries(), allocations()
    wait_for(lambda: queries() - first_queries > 30_000, 30, "30,000 queries", 0.5)
    # The counter first: a scrape allocates, and belongs to nobody's query.
    made, asked = allocations() - first, queries() - first_queries
    load.stop()
    assert first > 0
    assert made / asked < 0.2, f"{made} allocations in {asked:.0f} queries"
