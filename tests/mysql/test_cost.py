"""What a query may cost, measured on the release build; and a client that does not read what it asked for."""

import re
import signal
import socket
import time

import pymysql
import pytest

from support import mysql, paths
from support.allocations import Allocations
from support.process import Process, run
from support.waiting import wait_for

from bed import rows, value
from prepared import PreparedClient

SYSBENCH = "/usr/bin/sysbench"
# The same for the sidecar as MariaDB, and once takes long enough.
one_server = pytest.mark.parametrize("cluster", [mysql.MYSQL], indirect=True)


class Load:
    """sysbench's point select by 16 clients, until it is stopped; `prepared`: with statements of the protocol."""

    def __init__(self, bed, prepared: bool):
        self._argv = [SYSBENCH, "oltp_point_select", "--db-driver=mysql", "--mysql-host=127.0.0.1", "--mysql-user=app",
                      "--mysql-password=app-secret", "--mysql-db=orders", "--mysql-ssl=off", "--tables=1",
                      "--table-size=1000", f"--db-ps-mode={'auto' if prepared else 'disable'}", "--threads=16"]
        run([*self._argv, f"--mysql-port={bed.writer.port}", "cleanup"], check=False)
        run([*self._argv, "--threads=1", f"--mysql-port={bed.writer.port}", "prepare"])
        self._process = Process("sysbench", bed.directory / "sysbench.log")
        self._port = bed.port

    def __enter__(self):
        self._process.start([*self._argv, f"--mysql-port={self._port}", "--time=300", "run"])
        return self

    def __exit__(self, *_):
        self._process.kill()


def _queries(sidecar) -> float:
    return sidecar.metrics().sum("dbproxy_queries_total")


def _steady(sidecar):
    wait_for(lambda: _queries(sidecar) > 5000, 60, "a steady state", 0.1)


@one_server
def test_system_calls_per_query(bed):
    """At most eight: two wake-ups, two reads, two writes, and room for two. Texts, then prepared statements."""
    for prepared in (False, True):
        sidecar = bed.sidecar(limit=20, tls=False, binary=paths.release_binary("dbproxy"))
        with Load(bed, prepared):
            _steady(sidecar)
            trace = Process("strace", bed.directory / "strace.log")
            trace.start(["strace", "-f", "-c", "-o", bed.directory / "calls", "-p", sidecar.process.pid])
            wait_for(lambda: "attached" in trace.log(), 10, "strace is attached")
            first = _queries(sidecar)
            wait_for(lambda: _queries(sidecar) - first > 5000, 60, "5,000 queries", 0.1)
            trace.stop(signal.SIGINT)
            traced = _queries(sidecar) - first
        table = (bed.directory / "calls").read_text()
        total = int(re.search(r"^\s*[\d.]+\s+[\d.]+\s+\d*\s*(\d+)\s+(?:\d+\s+)?total$", table, re.M)[1])
        sidecar.stop()
        assert total / traced <= 8, f"prepared {prepared}: {total / traced:.2f} system calls per query\n{table}"


@one_server
def test_allocations_per_query(bed):
    """None in steady state, scrapes and housekeeping aside."""
    allocations = Allocations(bed.directory)
    # With an operator, so that what asks the database for its role is not counted here.
    _, sidecar = bed.operator(limit=20, tls=False, binary=paths.release_binary("dbproxy"), env=allocations.env)
    for prepared in (False, True):
        with Load(bed, prepared):
            made = allocations.per_query(sidecar)
        assert made < 0.2, f"prepared {prepared}: {made:.2f} allocations per query"


def _slow(bed) -> pymysql.Connection:
    """With a receive buffer that is soon full."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", bed.port))
    client = pymysql.connect(user="app", password="app-secret", database="orders", autocommit=True, defer_connect=True,
                             ssl_disabled=True, read_timeout=60)
    client.connect(sock)
    return client


def test_a_slow_reader_is_bounded_and_alone(bed):
    """It costs little memory, the others do not notice, and it gets all of its rows in the end."""
    straight = bed.connect(port=bed.writer.port)
    rows(straight, "DROP TABLE IF EXISTS tens")
    rows(straight, "CREATE TABLE tens (n INT)")
    rows(straight, "INSERT INTO tens VALUES " + ",".join(f"({n})" for n in range(10)))
    big = f"SELECT REPEAT('x', 1000) FROM {', '.join(f'tens t{n}' for n in range(5))}"
    sidecar = bed.sidecar(limit=8, binary=paths.release_binary("dbproxy"))  # a sanitizer keeps what was freed
    quick, text, prepared = bed.connect(), _slow(bed), _slow(bed)
    assert value(quick, "SELECT 1") == 1
    before = sidecar.resident_bytes()
    text._execute_command(pymysql.constants.COMMAND.COM_QUERY, big)
    statement = PreparedClient(prepared)
    statement.prepare("big", f"{big} WHERE CONCAT(?) = 'a'")
    statement.send("big", "a")
    since = time.monotonic()
    while time.monotonic() - since < 2:
        assert value(quick, "SELECT 1") == 1
    assert sidecar.resident_bytes() - before < 10_000_000
    assert statement.rows() == 100_000
    text._force_close()
    prepared.close()
    assert value(quick, "SELECT 1") == 1
    wait_for(lambda: bed.writer.sessions("app", "info LIKE 'SELECT REPEAT%'") == 0, 30, "the statement ended")
