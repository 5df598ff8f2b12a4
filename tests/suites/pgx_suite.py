"""pgx's own tests, which its Go module carries."""

import json
import subprocess

from python_suites import SOURCES, clean_environment
from results import FAILED, PASSED, SKIPPED
from target import USER

_QUICK = [".", "./pgconn"]
_ALL = [".", "./pgconn", "./pgtype", "./pgxpool", "./stdlib", "./pgtype/zeronull"]
# They end the server process that they take for their own and wait for it, up to two minutes: explained in
# docs/differences.md.
_SLOW = "^(TestFatalRxError|TestConnCheckConn)$"
_RESULTS = {"pass": PASSED, "fail": FAILED, "skip": SKIPPED}


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
        results = {}
        with open(target.directory / "output", "w") as output:
            subprocess.run(["go", "test", "-json", "-p", "1", "-count", "1", "-timeout", "10m",
                            *(["-skip", _SLOW, *_QUICK] if quick else _ALL)], cwd=self.source, env=environment,
                           stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, timeout=1500)
        for line in (target.directory / "output").read_text().splitlines():
            if not line.startswith("{"):
                continue
            event = json.loads(line)
            if event.get("Test") and event["Action"] in _RESULTS:
                package = event["Package"].rsplit("/v5", 1)[1].lstrip("/")
                results[f"{package or 'pgx'}.{event['Test']}"] = _RESULTS[event["Action"]]
        return results
