"""Fixtures: a PostgreSQL cluster of each version for the whole run, and a `bed` with sidecars for each test."""

import contextlib
import os
import sys
from pathlib import Path

import psycopg
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support import hidden, postgres, wire  # noqa: E402
from support.manifests import Manifests, endpoint  # noqa: E402
from support.operator_process import Operator  # noqa: E402
from support.ports import free_port  # noqa: E402
from support.postgres import PASSWORDS  # noqa: E402
from support.sidecar import Sidecar  # noqa: E402
from support.testbed import Testbed  # noqa: E402

# Proves the tests themselves: clients talk to the database and there is no sidecar. What only a proxy does then fails.
DIRECT = os.environ.get("DBPROXY_TEST_DIRECT") == "1"


@pytest.fixture(scope="session")
def testbed():
    with Testbed("it") as bed:
        yield bed


@pytest.fixture(scope="session", params=[15, 18], ids=["pg15", "pg18"])
def cluster(request, testbed):
    """A writer and a replica. Tests may stop members, but leave them running and unpromoted."""
    if not postgres.available(request.param):
        pytest.skip(f"PostgreSQL {request.param} is not installed: run cmake/setup.sh test")
    cluster = testbed.cluster(version=request.param, replicas=1)
    yield cluster
    cluster.stop()


class Bed:
    """One DBProxy `shop/orders`, whatever runs on it, and everything that was opened through it."""

    def __init__(self, testbed: Testbed, cluster, directory: Path):
        self.testbed, self.cluster, self.directory = testbed, cluster, directory
        self.host = "127.0.0.1"
        self.port, self.readers = free_port("127.0.0.1", "127.0.0.2"), free_port("127.0.0.1", "127.0.0.2")
        self.manifests = Manifests(directory / "m")
        self.sidecars: list[Sidecar] = []
        self.operators: list[Operator] = []
        self.resources = contextlib.ExitStack()
        if DIRECT:
            self.port, self.readers = cluster.writer.port, cluster.replicas[0].port

    @property
    def writer(self):
        return self.cluster.writer

    def write(self, users=("app",), read_only=False, **options):
        self.manifests.for_cluster(self.cluster, self.port, users=users, **options)
        if read_only:
            self.manifests.write("readers.yaml", endpoint("orders-readers", "orders", self.readers))

    def sidecar(self, wait=True, write=True, users=("app",), read_only=False, extra=(), binary=None, env=None,
                inside=None, **options) -> Sidecar:
        """A sidecar on manifests. `limit=N` is so many server connections, of the 100 that the database allows.

        `inside`: a namespace that it stands in."""
        if DIRECT:
            return None
        if "limit" in options:
            options["pool"] = {"maxConnectionsPercent": options.pop("limit"), **options.get("pool", {})}
        if write:
            self.write(users, read_only, **options)
        sidecar = Sidecar(self.directory, f"sidecar{len(self.sidecars)}", manifests=self.manifests.directory,
                          extra=extra, binary=binary, env=env, inside=inside)
        self.sidecars.append(sidecar)
        return sidecar.start(wait)

    def operator(self, sidecars=("shop/orders-1",), **options) -> Operator:
        operator = Operator(self.directory, self.manifests.directory, sidecars, **options)
        self.operators.append(operator)
        return operator.start()

    def sidecar_of(self, operator: Operator, wait=True, **options) -> Sidecar:
        sidecar = Sidecar(self.directory, f"sidecar{len(self.sidecars)}", operator=operator, **options)
        self.sidecars.append(sidecar)
        return sidecar.start(wait)

    def dsn(self, user="app", database="orders", password=None, **options) -> str:
        options = {"host": self.host, "port": self.port, "user": user, "dbname": database, "sslmode": "disable",
                   "password": PASSWORDS.get(user, "") if password is None else password, "connect_timeout": 20,
                   **options}
        return psycopg.conninfo.make_conninfo(**options)

    def connect(self, *args, autocommit=True, **options) -> psycopg.Connection:
        try:
            connection = psycopg.connect(self.dsn(*args, **options), autocommit=autocommit)
        except psycopg.Error as error:
            hidden.check_refusal(error, options.get("password"))
            raise
        self.resources.callback(connection.close)
        return connection

    def raw(self, host=None, port=None, **options) -> wire.Client:
        """A raw client that has sent nothing yet."""
        return self.resources.enter_context(wire.Client(host or self.host, port or self.port, **options))

    def raw_session(self, user="app", database="orders", **parameters) -> wire.Client:
        return self.raw().login(user, PASSWORDS[user], database, **parameters)

    def close_clients(self):
        self.resources.close()
        self.resources = contextlib.ExitStack()

    def close(self, failed: bool):
        self.resources.close()
        for process in [*self.sidecars, *self.operators]:
            process.kill() if failed else process.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call":
        item.failed = report.failed
    return report


@pytest.fixture
def bed(request, testbed, cluster):
    number = len(list(testbed.directory.iterdir()))
    bed = Bed(testbed, cluster, testbed.subdirectory(f"t{number}"))
    yield bed
    failed = getattr(request.node, "failed", True)
    if failed:
        for process in [*bed.sidecars, *bed.operators]:
            print(f"---- {process.name} ----\n{process.log()[-4000:]}")
    bed.close(failed)
