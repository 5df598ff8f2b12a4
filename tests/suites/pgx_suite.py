"""pgx's own tests, which its Go module carries."""

import subprocess

from python_suites import SOURCES, clean_environment
from results import from_go
from target import USER

_QUICK = [".", "./pgconn"]
_ALL = [".", "./pgconn", "./pgtype", "./pgxpool", "./stdlib", "./pgtype/zeronull"]
# They end the server process that they take for their own and wait for it, up to two minutes: explained in
# docs/differences.md.
_SLOW = "^(TestFatalRxError|TestConnCheckConn)$"


class Pgx:
    name, connections, source = "pgx", 4, SOURCES / "pgx"

    def prepare(self, server):
        server.sql("CREATE EXTENSION hstore; CREATE EXTENSION ltree; CREATE DOMAIN uint64 AS numeric(20,0)", "suite")
        server.sql("""DO $$ BEGIN CREATE ROLE " tricky, ' } "" \\ test user " SUPERUSER; """
                   "EXCEPTION WHEN duplicate_object THEN NULL; END $$")

    def run(self, target, quick: bool) -> dict[str, str]:
        where = (f"host={target.host} port={target.port} user={USER} password={target.password()} "
                 f"dbname={target.database}")
        environment = clean_environment(PGX_TEST_DATABASE=where, PGX_TEST_TCP_CONN_STRING=where, GOTOOLCHAIN="local",
                                        GOFLAGS="-mod=mod")
        with open(target.directory / "output", "w") as output:
            subprocess.run(["go", "test", "-json", "-p", "1", "-count", "1", "-timeout", "10m",
                            *(["-skip", _SLOW, *_QUICK] if quick else _ALL)], cwd=self.source, env=environment,
                           stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, timeout=1500)
        return from_go(target.directory / "output", "github.com/jackc/pgx/v5", "pgx")
