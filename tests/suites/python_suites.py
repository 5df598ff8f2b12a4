"""The suites of psycopg2 and SQLAlchemy (on PostgreSQL and on MySQL), from their source distributions, under pytest."""

import os
import subprocess

from results import from_junit
from target import USER

from support import paths

SOURCES = paths.TESTBED / "suites"
PYTHON = SOURCES / "venv/bin/python"


def clean_environment(**more) -> dict:
    return {**{name: value for name, value in os.environ.items() if not name.startswith("PG")}, **more}


def pytest(source, target, arguments, environment) -> dict[str, str]:
    report = target.directory / "report.xml"
    with open(target.directory / "output", "w") as output:
        subprocess.run([PYTHON, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}",
                        *arguments], cwd=source, env=clean_environment(**environment), stdin=subprocess.DEVNULL,
                       stdout=output, stderr=subprocess.STDOUT, timeout=1800)
    return from_junit(report)


class Psycopg2:
    name, connections, source = "psycopg2", 3, SOURCES / "psycopg2"

    def prepare(self, server):
        server.sql("CREATE EXTENSION hstore", "suite")

    def run(self, target, quick: bool) -> dict[str, str]:
        return pytest(self.source, target, ["tests"], {
            "PSYCOPG2_TESTDB": target.database, "PSYCOPG2_TESTDB_HOST": target.host,
            "PSYCOPG2_TESTDB_PORT": str(target.port), "PSYCOPG2_TESTDB_USER": USER,
            "PSYCOPG2_TESTDB_PASSWORD": target.password(), **({"PSYCOPG2_TEST_FAST": "1"} if quick else {})})


class Sqlalchemy:
    """The suite for dialects; when there is time PostgreSQL's own tests, and those of the engine and of transactions."""

    # A test of its engine has three transactions open at a time, beside what others have left for the garbage collector.
    name, connections, source = "sqlalchemy", 6, SOURCES / "sqlalchemy"

    def prepare(self, server):
        server.sql("CREATE SCHEMA test_schema; CREATE EXTENSION hstore; CREATE EXTENSION citext", "suite")

    def run(self, target, quick: bool) -> dict[str, str]:
        where = f"postgresql+psycopg2://{USER}:{target.password()}@{target.host}:{target.port}/{target.database}"
        tests = ["test/dialect/test_suite.py"]
        if not quick:
            tests += ["test/dialect/postgresql", "test/engine"]
        return pytest(self.source, target, ["-p", "no:logging", "--dburi", where, *tests], {})


class SqlalchemyMysql:
    """The suite for dialects; when there is time those of its dialect for MySQL and of transactions."""

    connections, source = 4, SOURCES / "sqlalchemy"

    def __init__(self, server: str, driver: str):
        self.name, self.server, self._driver = f"sqlalchemy-{server}", server, driver

    def prepare(self, server):
        server.sql("DROP DATABASE IF EXISTS test_schema; CREATE DATABASE test_schema")

    def run(self, target, quick: bool) -> dict[str, str]:
        dialect = "mariadb" if self.server.startswith("mariadb") else "mysql"
        where = (f"{dialect}+{self._driver}://{USER}:{target.password()}@{target.host}:{target.port}/{target.database}"
                 "?charset=utf8mb4")
        tests = ["test/dialect/mysql/test_for_update.py", "test/dialect/mysql/test_query.py"]
        if not quick:
            tests = ["test/dialect/test_suite.py", "test/dialect/mysql", "test/engine"]
        return pytest(self.source, target, ["-p", "no:logging", "--dburi", where, *tests], {})
