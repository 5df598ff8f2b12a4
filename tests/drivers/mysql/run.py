"""Drivers of MySQL through a sidecar with one server connection, without TLS and with it: data, and who pins.

  run.py SERVER [--direct] [--show] [NAME…]    SERVER: mysql-8.0 or mariadb-10.11; all drivers by default

--direct: against the database itself, to prove the programs; --show: what they print even where they pass.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from support import mysql, paths, process  # noqa: E402
from support.manifests import Manifests  # noqa: E402
from support.ports import free_port  # noqa: E402
from support.sidecar import Sidecar  # noqa: E402
from support.testbed import Testbed  # noqa: E402

HERE = Path(__file__).resolve().parent
PYTHON = paths.TESTBED / "venv/bin/python"
SCHEMA = """
DROP TABLE IF EXISTS items, kinds, big;
CREATE TABLE items (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(100) UNIQUE, amount DECIMAL(10, 2));
CREATE TABLE kinds (i INT, s VARCHAR(50), d DECIMAL(10, 2), b VARBINARY(50), n TEXT, t DATETIME, f DOUBLE);
CREATE TABLE big (n INT PRIMARY KEY, data LONGBLOB);
DROP PROCEDURE IF EXISTS two_results;
DELIMITER //
CREATE DEFINER = app@'%' PROCEDURE two_results(IN n INT, OUT doubled INT)
BEGIN SELECT n AS first; SELECT n + 1 AS second, 'two' AS word; SET doubled = 2 * n; END//
"""
DRIVERS = ("pymysql", "mysqlclient", "connector-python", "connector-python-c", "sqlalchemy", "connector-j",
           "mariadb-java", "go", "mysql2", "mariadb-node", "libmariadb")
# MySQL's library, of version 9, does not log in to MariaDB: it has no mysql_native_password.
NOT_ON_MARIADB = ("connector-python-c",)


def command(name: str, directory: Path) -> list:
    if name in ("pymysql", "mysqlclient", "connector-python", "connector-python-c"):
        return [PYTHON, "-B", HERE / "python/check.py", name]
    if name == "sqlalchemy":
        return [PYTHON, "-B", HERE / "python/check_sqlalchemy.py"]
    if name in ("mysql2", "mariadb-node"):
        return ["node", HERE / "node" / f"{name}.js"]
    if name in ("connector-j", "mariadb-java"):
        jars = [*(paths.TESTBED / "jars").glob("mysql-connector-j-*.jar"),
                *(paths.TESTBED / "jars").glob("mariadb-java-client-*.jar")]
        classes = directory / "classes"
        if not classes.exists():
            _build(["javac", "-nowarn", "-d", classes, HERE / "java/Check.java"])
        # Short programs: what the second compiler and a larger heap would win is less than what they cost.
        return ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m", "-cp",
                os.pathsep.join(map(str, [classes, *jars])), "Check", name]
    program = directory / f"check-{name}"
    if name == "go":
        _build(["go", "build", "-o", program, "."], cwd=HERE / "go",
               env={**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"})
    else:
        flags = subprocess.run(["mariadb_config", "--cflags", "--libs"], check=True, capture_output=True, text=True)
        _build(["cc", "-O1", "-Wall", "-Wextra", "-o", program, HERE / "c/check.c", *flags.stdout.split()])
    return [program]


def _build(argv: list, **options):
    subprocess.run([str(word) for word in argv], check=True, stdin=subprocess.DEVNULL, **options)


class Run:
    """One server, and a sidecar before it where that is wanted."""

    def __init__(self, bed: Testbed, server: str, direct: bool, show: bool):
        self.bed, self.show = bed, show
        self.cluster = bed.mysql_cluster(version=server)
        self.port, self.sidecar = self.cluster.writer.port, None
        self.file = bed.directory / "rows.csv"
        self.file.write_text("".join(f"loaded {number},{number}\n" for number in range(5000)))
        if direct:
            # Some drivers cannot do the long exchange of caching_sha2_password without TLS: once is enough.
            mysql_client = [paths.MARIADB_CLIENT, "--no-defaults", "--ssl", "-h", "127.0.0.1", "-P", self.port, "-u", "app"]
            process.run([*mysql_client, "-papp-secret", "-e", "DO 1", "orders"])
        else:
            self.port = free_port()
            manifests = Manifests(bed.directory / "m")
            # Two per cent of 60 connections: one. It shows best whether clients are kept apart, and that nothing pins:
            # a pin of one client would keep all others waiting until its end.
            manifests.for_cluster(self.cluster, self.port, engineFamily="MYSQL", pool={"maxConnectionsPercent": 2})
            self.sidecar = Sidecar(bed.directory, manifests=manifests.directory).start()

    def check(self, name: str) -> bool:
        argv, began, pins, said = command(name, self.bed.directory), time.monotonic(), self._pins(), ""
        for tls in ("0", "1"):
            self.cluster.writer.sql(SCHEMA, "orders")
            environment = {**os.environ, "NODE_PATH": str(paths.TESTBED / "node-mysql/node_modules"),
                           "DB_HOST": "127.0.0.1", "DB_PORT": str(self.port), "DB_USER": "app",
                           "DB_PASSWORD": "app-secret", "DB_NAME": "orders", "DB_TLS": tls, "DB_FILE": str(self.file)}
            try:
                done = subprocess.run([str(word) for word in argv], env=environment, timeout=300, text=True,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                output, failed = done.stdout, done.returncode != 0
            except subprocess.TimeoutExpired as late:
                output, failed = f"{(late.stdout or b'').decode(errors='replace')}\n{late}", True
            if failed or self.show:
                print(f"-- {name} {'with' if tls == '1' else 'without'} TLS\n{output}", flush=True)
            if failed:
                return False
            said += output
        unexpected = self.sidecar and self._unexpected(said, {reason: count - pins.get(reason, 0)
                                               for reason, count in self._pins().items()})
        print(f"{name}: {unexpected or 'passed'}, {time.monotonic() - began:.1f} s", flush=True)
        return not unexpected

    @staticmethod
    def _unexpected(output: str, pins: dict) -> str:
        """A program names what it pins on purpose: a line `pins REASON…`."""
        named = {word for line in output.splitlines() if line.startswith("pins ") for word in line.split()[1:]}
        seen = {reason for reason, count in pins.items() if count}
        return "" if seen == named else f"FAILED: it pinned by {sorted(seen)}, and said {sorted(named)}"

    def _pins(self) -> dict:
        pins = {}
        for name, labels, count in self.sidecar.metrics().samples if self.sidecar else ():
            if name == "dbproxy_pins_total":
                pins[labels["reason"]] = pins.get(labels["reason"], 0) + count
        return pins


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server", choices=[mysql.MYSQL, mysql.MARIADB])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(DRIVERS))
    parser.add_argument("--direct", action="store_true")
    parser.add_argument("--show", action="store_true")
    arguments = parser.parse_intermixed_args()
    with Testbed("mydrv") as bed:
        run = Run(bed, arguments.server, arguments.direct, arguments.show)
        names = arguments.names or [name for name in DRIVERS
                                    if arguments.server == mysql.MYSQL or name not in NOT_ON_MARIADB]
        failed = [name for name in names if not run.check(name)]
        if run.sidecar:
            if failed:
                print(run.sidecar.log()[-5000:])
            run.sidecar.stop()
    print(f"failed: {', '.join(failed)}" if failed else "all passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
