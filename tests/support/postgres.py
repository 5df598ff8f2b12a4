"""Real PostgreSQL servers: a writer and streaming replicas, as an unprivileged user, in a temporary directory.

SCRAM for everybody but the roles `legacy` (MD5) and `plain` (clear text, under TLS); TLS on, with a certificate for
localhost and 127.0.0.1; local socket trusted, for the tests' own administration. What is in it: databases `orders` and
`billing`; roles `app`, `reports`, `legacy`, `plain` and `nologin`, none of them privileged.
"""

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

from . import paths
from .certificates import Authority
from .database import DatabaseCluster, user_to_run_as
from .ports import free_port
from .process import Process, run
from .waiting import wait_for

PASSWORDS = {"app": "app-secret", "reports": "reports-secret", "legacy": "legacy-secret", "plain": "plain-secret"}
_SETTINGS = {
    "max_connections": "100", "password_encryption": "'scram-sha-256'", "ssl": "on", "fsync": "off",
    "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "'64MB'", "wal_level": "replica",
    "max_wal_senders": "10", "hot_standby": "on", "wal_keep_size": "'256MB'", "log_line_prefix": "'%m [%p] %q%u@%d '",
    "logging_collector": "off", "wal_receiver_status_interval": "'1s'", "wal_retrieve_retry_interval": "'100ms'",
    "max_prepared_transactions": "10", "autovacuum": "off", "min_wal_size": "'64MB'",
}
_ACCESS = """\
local all all trust
hostssl replication replicator samehost scram-sha-256
host all legacy all md5
hostssl all plain all password
host all all all scram-sha-256
"""
_SCHEMA = """\
CREATE ROLE app LOGIN PASSWORD 'app-secret';
CREATE ROLE reports LOGIN PASSWORD 'reports-secret';
CREATE ROLE plain LOGIN PASSWORD 'plain-secret';
CREATE ROLE nologin NOLOGIN PASSWORD 'nologin-secret';
CREATE ROLE replicator REPLICATION LOGIN PASSWORD 'replicator-secret';
SET password_encryption = 'md5';
CREATE ROLE legacy LOGIN PASSWORD 'legacy-secret';
"""


def available(version: int) -> bool:
    return (paths.DEBIAN_POSTGRES if version == 15 else _unpacked(version) / "bin").joinpath("postgres").exists()


def _unpacked(version: int) -> Path:
    return {17: paths.POSTGRES_17, 18: paths.POSTGRES_18}[version]


class Postgres:
    """One server. `role` is how it was started, not what it may have been promoted to."""

    def __init__(self, cluster: "Cluster", name: str, role: str):
        self.cluster, self.name, self.role = cluster, name, role
        self.directory = cluster.directory / name
        self.data = self.directory / "data"
        self.host, self.port = cluster.address, free_port(cluster.address)
        self.process = Process(name, cluster.directory / f"{name}.log", quick_death=signal.SIGQUIT)

    def start(self, wait: bool = True):
        self.process.start([self.cluster.bin / "postgres", "-D", self.data, "-p", self.port, "-k", self.directory,
                            "-c", f"listen_addresses={self.host}"], user=self.cluster.user, cwd="/",
                           env=self.cluster.environment)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout: float = 30):
        def ready():
            if not self.process.alive():
                raise RuntimeError(self.process.log()[-2000:])
            return self.sql("SELECT 1") == "1"
        try:
            wait_for(ready, timeout, f"PostgreSQL {self.name} is ready", interval=0.05)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.process.log()[-2000:]}") from None

    def stop(self, fast: bool = True):
        """fast ends sessions with 57P01; not fast waits for them."""
        self.process.stop(signal.SIGINT if fast else signal.SIGTERM, timeout=30)

    def kill(self):
        """As a crash: no message to anybody."""
        if self.process.alive():
            children = self._children()
            self.process.popen.kill()
            for child in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            self.process.wait()

    def _children(self) -> list[int]:
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(word) for word in listed.split()]

    def restart(self):
        self.stop()
        self.start()

    def promote(self):
        self.sql("SELECT pg_promote(true, 30)")
        wait_for(lambda: self.sql("SELECT pg_is_in_recovery()") == "f", 30, f"{self.name} is promoted")

    def sql(self, text: str, database: str = "postgres", timeout: float = 30) -> str:
        """As superuser over the local socket; rows as psql -At prints them."""
        return run([paths.DEBIAN_POSTGRES / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", self.directory, "-p",
                    self.port, "-U", "postgres", "-d", database, "-f", "-"], input=text,
                   timeout=timeout).stdout.rstrip("\n")

    def sessions(self, user: str = "app", where: str = "true") -> int:
        return int(self.sql(f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{user}' AND ({where})"))

    def end_sessions(self, user: str):
        self.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{user}'")

    def set(self, **settings):
        for name, value in settings.items():
            self.sql(f"ALTER SYSTEM SET {name} = '{value}'")
        self.sql("SELECT pg_reload_conf()")


class Cluster(DatabaseCluster):
    def __init__(self, directory: Path, version: int = 15, replicas: int = 0, authority: Authority | None = None,
                 settings: dict | None = None, schema: str = "", address: str = "127.0.0.1"):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.version = version
        self.address = address  # of this machine: where all members listen
        self.user = user_to_run_as("postgres", "nobody")
        # libpq inside a replica must not look into the home directory of whoever started us.
        self.environment = {"LC_ALL": "C.UTF-8", "HOME": str(self.directory)}
        self.authority = authority or Authority(self.directory / "ca")
        self.bin = self._reachable_binaries()
        self._settings = {**_SETTINGS, **(settings or {})}
        self._schema = schema
        self.writer = Postgres(self, "writer", "READ_WRITE")
        self.replicas = [Postgres(self, f"replica-{number + 1}", "READ_ONLY") for number in range(replicas)]

    def hosts(self) -> set[str]:
        """That the servers' certificate is good for."""
        return {server.host for server in self.members}

    def start(self):
        self._initialise()
        # A cleanly stopped, never started cluster is its own base backup: replicas follow from the first record on.
        for replica in self.replicas:
            self._private_directory(replica.directory)
            self._as_server(["cp", "-a", self.writer.data, replica.data])
            self._configure(replica, {"primary_conninfo": (
                f"'host={self.writer.host} port={self.writer.port} user=replicator password=replicator-secret "
                f"sslmode=require application_name={replica.name}'")})
            self._write(replica.data / "standby.signal", "")
        self.writer.start()
        self.writer.sql(_SCHEMA + self._schema)
        for database in ("orders", "billing"):
            self.writer.sql(f"CREATE DATABASE {database}")
            self.writer.sql("GRANT CREATE ON SCHEMA public TO app, reports, legacy", database)
        for replica in self.replicas:
            replica.start()
        if self.replicas:
            self.wait_caught_up()
        return self

    def wait_caught_up(self, timeout: float = 20):
        # Not the insert position: at the end of a page it is behind the next one's header, which nobody has replayed.
        position = self.writer.sql("SELECT pg_current_wal_flush_lsn()")
        for replica in self.replicas:
            wait_for(lambda r=replica: r.sql(f"SELECT pg_last_wal_replay_lsn() >= '{position}'") == "t", timeout,
                     f"{replica.name} has replayed {position}", interval=0.05)

    def stop(self):
        for server in reversed(self.members):
            if server.process.alive():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    server.process.stop(signal.SIGQUIT)

    def _initialise(self):
        self._private_directory(self.writer.directory)
        self._as_server([self.bin / "initdb", "-D", self.writer.data, "-U", "postgres", "--auth=trust", "-N",
                         "--encoding=UTF8", "--locale=C.UTF-8"])
        self._write(self.writer.data / "pg_hba.conf", _ACCESS)
        certificate, key = self.authority.issue(
            "server", ",".join(["DNS:localhost", "IP:127.0.0.1", "IP:::1",
                                *(f"IP:{host}" for host in sorted(self.hosts()))]))
        self._write(self.writer.data / "server.crt", certificate.read_text())
        self._write(self.writer.data / "server.key", key.read_text())
        self._configure(self.writer, self._settings)

    def _configure(self, server: Postgres, settings: dict):
        lines = "".join(f"{name} = {value}\n" for name, value in settings.items())
        config = server.data / "postgresql.conf"
        self._write(config, config.read_text() + lines)

    def _as_server(self, argv):
        run(argv, user=self.user, env=self.environment, cwd="/")

    def _reachable_binaries(self) -> Path:
        if self.version == 15:
            return paths.DEBIAN_POSTGRES
        found = _unpacked(self.version) / "bin"
        reachable = run(["test", "-x", found / "postgres"], user=self.user, check=False, cwd="/")
        if reachable.returncode == 0:
            return found
        # A clone below a directory that is closed to others: the server's user gets a copy.
        copy = self.directory / "postgresql"
        if not copy.exists():
            shutil.copytree(_unpacked(self.version), copy, symlinks=True)
        return copy / "bin"
