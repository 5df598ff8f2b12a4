"""Where a suite runs: a database with a superuser for it, directly or through a sidecar with few connections."""

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support import postgres  # noqa: E402
from support.manifests import Manifests  # noqa: E402
from support.ports import free_port  # noqa: E402
from support.sidecar import Sidecar  # noqa: E402
from support.testbed import Testbed  # noqa: E402

# Suites make roles and extensions: theirs is a superuser.
USER, DATABASE = "suite", "suite"
postgres.PASSWORDS.update({USER: "suite-secret", "owner": "owner-secret"})
_ROLES = """
SET password_encryption = 'scram-sha-256';
CREATE ROLE suite SUPERUSER LOGIN PASSWORD 'suite-secret';
CREATE ROLE owner LOGIN CREATEDB PASSWORD 'owner-secret';
"""


@dataclass
class Target:
    """What a suite is told. `directory` is for what this run of it writes."""

    host: str
    port: int
    directory: Path
    database: str = DATABASE

    def password(self, user: str = USER) -> str:
        return postgres.PASSWORDS[user]


class Bench:
    """One cluster for all suites of an engine; each run of a suite gets a fresh database."""

    users, engine = (USER, "owner"), "POSTGRESQL"

    def __init__(self, bed: Testbed, cluster):
        self._bed, self._number, self.cluster = bed, 0, cluster

    def empty(self, writer):
        """Makes the database anew."""
        raise NotImplementedError

    @contextlib.contextmanager
    def direct(self, suite):
        yield self._fresh(suite, self.cluster.writer.port)

    @contextlib.contextmanager
    def through(self, suite):
        """Per cent of the database's 100 connections are so many connections."""
        target = self._fresh(suite, free_port())
        manifests = Manifests(target.directory / "m")
        manifests.for_cluster(self.cluster, target.port, users=self.users, engineFamily=self.engine,
                              pool={"maxConnectionsPercent": suite.connections})
        sidecar = Sidecar(target.directory, manifests=manifests.directory).start()
        try:
            yield target
        except BaseException:
            print(sidecar.log()[-3000:])
            sidecar.kill()
            raise
        sidecar.stop()

    def _fresh(self, suite, port: int) -> Target:
        self._number += 1
        writer = self.cluster.writer
        self.empty(writer)
        suite.prepare(writer)
        return Target(writer.host, port, self._bed.subdirectory(f"{suite.name}{self._number}"))


class PostgresBench(Bench):
    def __init__(self, bed: Testbed, version: int):
        super().__init__(bed, bed.cluster(version=version, schema=_ROLES))

    def empty(self, writer):
        writer.sql(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        writer.sql(f"CREATE DATABASE {DATABASE} OWNER owner TEMPLATE template0")
