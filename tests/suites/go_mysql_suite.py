"""go-sql-driver's own tests, which its Go module carries."""

import subprocess

from python_suites import SOURCES, clean_environment
from results import from_go
from target import USER

# It dials an address that nobody has and expects that this takes long: where that is refused at once, or something
# answers, it ends the whole run before any test that uses the database.
_NOT_OF_A_DATABASE = "TestConnectorReturnsTimeout"


class GoMysql:
    """Through a pool of one connection: no test of it has two transactions open at a time."""

    connections, source = 1, SOURCES / "go-mysql"

    def __init__(self, server: str):
        self.name, self.server = f"go-{server}", server

    def prepare(self, server):
        """Nothing but the database."""

    def run(self, target, quick: bool) -> dict[str, str]:
        environment = clean_environment(
            MYSQL_TEST_USER=USER, MYSQL_TEST_PASS=target.password(), MYSQL_TEST_ADDR=f"{target.host}:{target.port}",
            MYSQL_TEST_DBNAME=target.database, GOTOOLCHAIN="local", GOFLAGS="-mod=mod")
        with open(target.directory / "output", "w") as output:
            subprocess.run(["go", "test", "-json", "-count", "1", "-timeout", "20m", "-skip",
                            "|".join([_NOT_OF_A_DATABASE, *(["TestLongData", "TestPreparedManyCols"] if quick else [])]),
                            "."], cwd=self.source, env=environment, stdin=subprocess.DEVNULL, stdout=output,
                           stderr=subprocess.STDOUT, timeout=1500)
        return from_go(target.directory / "output", "github.com/go-sql-driver/mysql", "mysql")
