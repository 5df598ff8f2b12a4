"""The engines that the demo can be played on: the database, what its clients do, and how they are watched."""

import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from support import mysql, paths, wire
from support.pages import get_json
from support.pgbench import Pgbench, percentile
from support.process import Process
from support.sidecar import Sidecar
from support.testbed import Testbed

WINDOW = 2.0  # seconds over which the table averages
CONNECTIONS = 100  # max_connections of each database, so percents are connections
PASSWORD = "app-secret"


@dataclass
class Load:
    """The clients of one sidecar, and what was seen of them in the last two seconds."""

    sidecar: Sidecar
    runs: list = field(default_factory=list)
    seen: deque = field(default_factory=deque)  # (when, what the engine takes percentiles of)

    def look(self, now: float, what):
        self.seen.append((now, what))
        while len(self.seen) > 2 and now - self.seen[0][0] > WINDOW:
            self.seen.popleft()


class Postgres:
    family, title, client, pinning = "POSTGRESQL", "PostgreSQL 15", "psql", "an advisory lock"
    SCHEMA = ("CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL);"
              "INSERT INTO accounts SELECT n, 1000 FROM generate_series(1, 1000) n;"
              "ALTER TABLE accounts SET (fillfactor = 50); GRANT SELECT, UPDATE ON accounts TO app;")
    # What one client does: mostly a look-up, now and then a transaction.
    LOOK_UP = "\\set id random(1, 1000)\nSELECT balance FROM accounts WHERE id = :id;\n"
    TRANSFER = ("\\set a random(1, 1000)\n\\set b random(1, 1000)\nBEGIN;\n"
                "UPDATE accounts SET balance = balance - 1 WHERE id = :a;\n"
                "SELECT balance FROM accounts WHERE id = :b;\nCOMMIT;\n")

    @staticmethod
    def missing() -> str:
        return ""

    def start(self, bed: Testbed):
        self.cluster = bed.cluster(version=15, replicas=1)
        self.cluster.writer.sql(self.SCHEMA, "orders")
        return self.cluster

    def load(self, directory: Path, sidecar: Sidecar, port: int, clients: int, rate: float, seconds: int) -> Load:
        load = Load(sidecar)
        for name, script, share in (("look-up", self.LOOK_UP, 0.8), ("transfer", self.TRANSFER, 0.2)):
            load.runs.append(Pgbench(
                directory, sidecar.bind, port, clients=max(1, round(clients * share)), seconds=seconds, script=script,
                rate=rate * share, name=f"{sidecar.name}-{name}").start())
        return load

    @staticmethod
    def percentiles(load: Load, now: float) -> tuple[float, float]:
        """Milliseconds, as the clients measured them."""
        load.look(now, [value for run in load.runs for value in run.new_latencies()])
        window = [value for _, values in load.seen for value in values]
        return percentile(window, 50), percentile(window, 99)

    def pin(self, port: int):
        """A client that keeps its server connection, until it is closed."""
        client = wire.Client("127.0.0.1", port).login("app", PASSWORD, "orders", application_name="migration")
        client.query("SELECT pg_advisory_lock(1)")
        return client

    def sessions(self) -> int:
        """Server connections, as the database counts them."""
        return self.cluster.writer.sessions("app", "application_name <> 'dbproxy-monitor'")

    def console(self) -> list:
        """A command line that answers each line of SQL with one of its own."""
        server = self.cluster.writer
        return [paths.DEBIAN_POSTGRES / "psql", "-XAtq", "-h", server.directory, "-p", server.port, "-U", "postgres",
                "postgres"]

    # What sessions() counts.
    COUNT = ("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND backend_type = 'client backend'"
             " AND application_name <> 'dbproxy-monitor'")

    @staticmethod
    def crowd(directory: Path, sidecar: Sidecar, port: int, clients: int, name: str):
        """Clients that do one thing after the other, each of which takes a while."""
        return Pgbench(directory, sidecar.bind, port, clients=clients, seconds=60, script="SELECT pg_sleep(0.02);\n",
                       name=name).start()

    @staticmethod
    def command_line(port: int) -> str:
        return f"PGPASSWORD={PASSWORD} psql -h 127.0.0.1 -p {port} -U app orders"


class Sysbench:
    """As many clients as threads, at one rate together, 0 for what they can; one that meets an error ends them all."""

    def __init__(self, directory: Path, sidecar: Sidecar, port: int, clients: int, rate: float, seconds: int, script: str,
                 name: str):
        self._clients = clients
        file = Path(directory) / f"{name}.lua"
        file.write_text(script)
        self._argv = ["/usr/bin/sysbench", file, "--db-driver=mysql", f"--mysql-host={sidecar.bind}", f"--mysql-port={port}",
                      "--mysql-user=app", f"--mysql-password={PASSWORD}", "--mysql-db=orders", "--mysql-ssl=off",
                      f"--threads={clients}", f"--rate={round(rate)}", f"--time={seconds}", "--thread-init-timeout=60",
                      "run"]
        self.process = Process(f"{name}-sysbench", Path(directory) / f"{name}.sysbench")

    def start(self):
        self.process.start(self._argv, nofile=65536)
        return self

    def stop(self):
        self.process.kill()

    def output(self) -> str:
        return self.process.log()

    def lost_clients(self) -> int:
        return self._clients if "FATAL" in self.output() else 0


class Client:
    """A command line that has asked something and keeps what it got."""

    def __init__(self, port: int, sql: str):
        self._process = Process("migration", "/dev/null")
        self._process.start([paths.MARIADB_CLIENT, "--no-defaults", "-h", "127.0.0.1", "-P", port, "-u", "app",
                             f"-p{PASSWORD}", "-e", sql, "orders"])

    def close(self):
        self._process.kill()


class MySql:
    family, client, pinning = "MYSQL", "mariadb", "a lock by GET_LOCK"
    SCHEMA = ("CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL);"
              "INSERT INTO accounts WITH RECURSIVE n AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 1000) "
              "SELECT n, 1000 FROM n;")
    BEGIN = """function thread_init()
  connection = sysbench.sql.driver():connect()
end

function thread_done()
  connection:disconnect()
end

function event()
"""
    SCRIPT = BEGIN + """
  local a, b = sysbench.rand.uniform(1, 1000), sysbench.rand.uniform(1, 1000)
  if sysbench.rand.uniform(1, 5) > 1 then
    connection:query("SELECT balance FROM accounts WHERE id = " .. a)
    return
  end
  connection:query("BEGIN")
  connection:query("UPDATE accounts SET balance = balance - 1 WHERE id = " .. a)
  connection:query("SELECT balance FROM accounts WHERE id = " .. b)
  connection:query("COMMIT")
end
"""

    def __init__(self):
        self._version = mysql.MYSQL if mysql.available(mysql.MYSQL) else mysql.MARIADB
        self.title = {mysql.MYSQL: "MySQL 8.0", mysql.MARIADB: "MariaDB 10.11"}[self._version]

    @staticmethod
    def missing() -> str:
        return "" if Path("/usr/bin/sysbench").exists() and mysql.available(mysql.MARIADB) else \
            "there is no MariaDB or no sysbench; the next command is: cmake/setup.sh demo-mysql"

    def start(self, bed: Testbed):
        self.cluster = bed.mysql_cluster(version=self._version, replicas=1, settings={"max_connections": CONNECTIONS},
                                         schema=self.SCHEMA)
        return self.cluster

    def load(self, directory: Path, sidecar: Sidecar, port: int, clients: int, rate: float, seconds: int) -> Load:
        return Load(sidecar, [Sysbench(directory, sidecar, port, clients, max(1, rate), seconds, self.SCRIPT,
                                       sidecar.name).start()])

    @staticmethod
    def percentiles(load: Load, now: float) -> tuple[float, float]:
        """Milliseconds, as the sidecar measures them: the upper bounds of its histogram's buckets."""
        told = get_json(load.sidecar.http, "/api/v1/latency")
        load.look(now, next((row["query"] for row in told["items"] if "query" in row), []))
        first, last = load.seen[0][1], load.seen[-1][1]
        counts = [new - old for new, old in zip(last, first or [0] * len(last))]
        out = []
        for percent in (50, 99):
            left, bound = sum(counts) * percent / 100, 0.0
            for count, bound in zip(counts, told["bounds"]):
                left -= count
                if left <= 0:
                    break
            out.append(bound * 1000 if sum(counts) else 0.0)
        return out[0], out[1]

    def pin(self, port: int):
        return Client(port, "SELECT GET_LOCK('migration', 10); SELECT SLEEP(1000)")

    def sessions(self) -> int:
        """Of the user, the operator's own question aside."""
        return self.cluster.writer.sessions("app") - 1

    def console(self) -> list:
        return [paths.MARIADB_CLIENT, "--no-defaults", "--skip-ssl", "-S", self.cluster.writer.socket, "-u", "root", "-n",
                "-B", "-N"]

    # The operator's question is about no database.
    COUNT = "SELECT count(*) FROM information_schema.processlist WHERE user = 'app' AND db = 'orders'"

    @classmethod
    def crowd(cls, directory: Path, sidecar: Sidecar, port: int, clients: int, name: str):
        return Sysbench(directory, sidecar, port, clients, 0, 60,
                        cls.BEGIN + '  connection:query("SELECT SLEEP(0.02)")\nend\n', name).start()

    @staticmethod
    def command_line(port: int) -> str:
        return f"mariadb -h 127.0.0.1 -P {port} -u app -p{PASSWORD} orders"


ENGINES = {"postgresql": Postgres, "mysql": MySql}
