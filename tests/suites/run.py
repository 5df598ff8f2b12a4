"""Other people's suites, first against the database itself and then through a sidecar with few connections: what
passed there must pass here, or docs/differences.md says why not.

  run.py [--quick] [--version 15] [--keep DIR] [NAME…]      all by default; --keep: their output stays in DIR
"""

import argparse
import shutil
import sys
import time
from pathlib import Path

from django_suite import Django
from go_mysql_suite import GoMysql
from mysql_target import MysqlBench
from pgjdbc_suite import Pgjdbc
from pgx_suite import Pgx
from python_suites import Psycopg2, Sqlalchemy, SqlalchemyMysql
from regress_suite import Regress
from results import Comparison
from target import PostgresBench, Testbed

from support.mysql import MARIADB, MYSQL

SUITES = {suite.name: suite for suite in (
    Psycopg2(), Sqlalchemy(), Pgx(), Pgjdbc(), Regress(),
    GoMysql(MYSQL), SqlalchemyMysql(MYSQL, "pymysql"), Django(MYSQL),
    GoMysql(MARIADB), SqlalchemyMysql(MARIADB, "mysqldb"), Django(MARIADB))}
# Of MySQL's, CI runs each on one of the servers.
_NOT_QUICK = {f"go-{MARIADB}", f"sqlalchemy-{MYSQL}", f"django-{MARIADB}"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SUITES))
    parser.add_argument("--quick", action="store_true", help="the fixed part that CI runs")
    parser.add_argument("--version", type=int, default=15, help="of PostgreSQL")
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    names = arguments.names or [name for name in SUITES if not arguments.quick or name not in _NOT_QUICK]
    lines, different = [], False
    with Testbed("suites") as bed:
        benches = {}
        for name in names:
            suite, found = SUITES[name], []
            server = getattr(suite, "server", "postgresql")
            if server not in benches:
                benches[server] = PostgresBench(bed, arguments.version) if server == "postgresql" else MysqlBench(bed, server)
            bench = benches[server]
            for way in (bench.direct, bench.through):
                started = time.monotonic()
                with way(suite) as target:
                    found.append(suite.run(target, arguments.quick))
                    print(f"-- {name} {way.__name__}: {len(found[-1])} tests, {time.monotonic() - started:.0f} s",
                          flush=True)
                if arguments.keep:
                    shutil.copytree(target.directory, arguments.keep / f"{name}-{way.__name__}", dirs_exist_ok=True,
                                    ignore=shutil.ignore_patterns("s", "sockets"))
            comparison = Comparison(name, *found)
            lines.append(comparison.row(name))
            for test in comparison.unexplained:
                print(f"   DIFFERENT {name} {test}: {comparison.through.get(test, 'missing')}", flush=True)
            # A suite that passes nothing directly proves nothing.
            different |= bool(comparison.unexplained) or "passed" not in found[0].values()
    print("\n".join([Comparison.header(), *lines]))
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
