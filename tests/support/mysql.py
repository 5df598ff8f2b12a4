"""Real MySQL and MariaDB servers: a writer and replicas, as an unprivileged user, in a temporary directory.

TLS on, with a certificate for localhost and 127.0.0.1; root without a password over the local socket, for the tests'
own administration. Databases `orders` and `billing`; users `app` (the server's own default plugin), `native`
(mysql_native_password), `limited` (three connections at most) and, on MySQL, `sha2` (caching_sha2_password) and
`wide` (caching_sha2_password, and a password of 200 bytes). None of them is privileged beyond those databases.
"""

import contextlib
import shutil
import signal
from pathlib import Path

from . import paths
from .certificates import Authority
from .database import DatabaseCluster, user_to_run_as
from .ports import free_port
from .process import Process, run
from .waiting import wait_for

PASSWORDS = {"app": "app-secret", "native": "native-secret", "limited": "limited-secret", "sha2": "sha2-secret",
             "wide": "wide-" + "secret" * 32 + "-end"}
MYSQL, MARIADB = "mysql-8.0", "mariadb-10.11"
_SETTINGS = {
    "max_connections": 60, "innodb_buffer_pool_size": "32M", "innodb_flush_log_at_trx_commit": 0, "sync_binlog": 0,
    "performance_schema": "OFF", "character_set_server": "utf8mb4", "local_infile": "ON", "skip_name_resolve": "ON",
    "max_allowed_packet": "64M", "log_bin": "binlog", "log_bin_trust_function_creators": "ON",
    "binlog_format": "ROW", "default_time_zone": "+00:00",
}
_OWN = {
    MYSQL: {"innodb_log_file_size": "8M", "mysqlx": "OFF", "gtid_mode": "ON", "enforce_gtid_consistency": "ON",
            "log_error_verbosity": 2},
    MARIADB: {"innodb_log_file_size": "16M", "gtid_strict_mode": "ON"},
}
_DATABASES = ("orders", "billing")
_initialised: dict[tuple, Path] = {}  # by version and user: a directory whose `data` no server has ever used


def available(version: str) -> bool:
    return _mysqld(version).exists() and (version == MARIADB or paths.MARIADB_CLIENT.exists())


def _mysqld(version: str) -> Path:
    return paths.MYSQL_8 / "bin/mysqld" if version == MYSQL else paths.DEBIAN_MARIADB


class Server:
    """One server. `role` is how it was started."""

    def __init__(self, cluster: "Cluster", number: int):
        self.cluster, self.number = cluster, number
        self.name = f"replica-{number}" if number else "writer"
        self.role = "READ_ONLY" if number else "READ_WRITE"
        self.reads = bool(number)  # it starts as a reader
        self.directory = cluster.directory / self.name
        self.data = self.directory / "data"
        self.socket = self.directory / "s"
        self.host, self.port = cluster.address, free_port(cluster.address)
        # SIGTERM waits for nobody that is idle; a server whose program died is of no use to anybody.
        self.process = Process(self.name, cluster.directory / f"{self.name}.log", quick_death=signal.SIGKILL)

    def start(self, wait: bool = True, init: Path | None = None):
        settings = {**self.cluster.settings, "server_id": self.number + 1, "port": self.port, "socket": self.socket,
                    "bind_address": self.host, "pid_file": self.directory / "pid",
                    # A server that starts removes temporary tables of others from a directory that they share.
                    "tmpdir": self.directory}
        if self.reads:
            settings["read_only"] = "ON"
            if self.cluster.version == MYSQL:
                settings["super_read_only"] = "ON"
        if init:
            settings["init_file"] = init
        self.process.start([*self.cluster.mysqld, f"--datadir={self.data}",
                            *(f"--{name.replace('_', '-')}" + (f"={value}" if value is not True else "")
                              for name, value in settings.items() if value is not None)],
                           user=self.cluster.user, cwd="/", env=self.cluster.environment)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout: float = 60):
        def ready():
            if not self.process.alive():
                raise RuntimeError(f"{self.name} ended: {self.process.log()[-3000:]}")
            return self._client("SELECT 1", timeout=10).stdout.strip() == "1"
        try:
            wait_for(ready, timeout, f"{self.cluster.version} {self.name} is ready", interval=0.1)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.process.log()[-2000:]}") from None

    def stop(self):
        self.process.stop(signal.SIGTERM, timeout=60)

    def kill(self):
        """As a crash: no message to anybody."""
        if self.process.alive():
            self.process.kill()

    def restart(self):
        self.stop()
        self.start()

    def sql(self, text: str, database: str = "mysql", timeout: float = 30) -> str:
        """As root over the local socket; rows as the command line's batch mode prints them, without names."""
        return self._client(text, database=database, timeout=timeout).stdout.rstrip("\n")

    def _client(self, text: str, database: str = "mysql", timeout: float = 30):
        return run([paths.MARIADB_CLIENT, "--no-defaults", "--skip-ssl", "-S", self.socket, "-u", "root", "-B", "-N",
                    "-D", database], input=text, timeout=timeout)

    def sessions(self, user: str = "app", where: str = "1") -> int:
        return int(self.sql("SELECT count(*) FROM information_schema.processlist "
                            f"WHERE user = '{user}' AND ({where})"))

    def end_sessions(self, user: str):
        for number in self.sql(f"SELECT id FROM information_schema.processlist WHERE user = '{user}'").split():
            with contextlib.suppress(RuntimeError):  # it may have gone by itself
                self.sql(f"KILL {number}")

    def set(self, **settings):
        for name, value in settings.items():
            self.sql(f"SET GLOBAL {name} = {value}")

    def promote(self):
        """What it has received is carried out first, as whoever fails over does."""
        self.sql("STOP SLAVE IO_THREAD")
        wait_for(lambda: "has read all relay log" in self.sql("SHOW SLAVE STATUS"), 30, f"{self.name} has carried out all",
                 interval=0.02)
        off = "SET GLOBAL super_read_only = OFF; " if self.cluster.version == MYSQL else ""
        self.reads = False
        self.sql(f"STOP SLAVE; RESET SLAVE ALL; {off}SET GLOBAL read_only = OFF")


class Cluster(DatabaseCluster):
    def __init__(self, directory: Path, version: str = MYSQL, replicas: int = 0, authority: Authority | None = None,
                 settings: dict | None = None, schema: str = "", address: str = "127.0.0.1"):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.version, self.address, self.schema = version, address, schema
        self.user = user_to_run_as("mysql", "nobody")
        self.authority = authority or Authority(self.directory / "ca")
        self.environment = {"HOME": str(self.directory)}
        certificate, key = self.directory / "server.pem", self.directory / "server.key"
        # RSA: MySQL 8.0.15 has no elliptic curves in its TLS.
        issued = self.authority.issue("server-mysql", f"DNS:localhost,IP:127.0.0.1,IP:::1,IP:{address}", key="rsa:2048")
        for target, source in zip((certificate, key, self.directory / "ca.pem"), (*issued, self.authority.certificate)):
            self._write(target, source.read_text())
        self.settings = {**_SETTINGS, **_OWN[version], "ssl_ca": self.directory / "ca.pem", "ssl_cert": certificate,
                         "ssl_key": key, **(settings or {})}
        self.mysqld = self._program()
        self.writer = Server(self, 0)
        self.replicas = [Server(self, number + 1) for number in range(replicas)]

    def start(self):
        self._initialise()
        for replica in self.replicas:
            self.copy(self.writer, replica)
        # What MySQL makes at its first start would be made on each member: it is no part of what is replicated.
        setup = self.directory / "setup.sql"
        self._write(setup, self._setup())
        self.writer.start(init=setup)
        for replica in self.replicas:
            replica.start()
            self.follow(replica, self.writer)
        if self.replicas:
            self.wait_caught_up()
        if self.schema:
            self.writer.sql(self.schema, "orders")
            self.wait_caught_up()
        return self

    def copy(self, source: Server, to: Server):
        """The files of a server that does not run."""
        self._private_directory(to.directory)
        run(["cp", "-a", source.data, to.data], user=self.user, cwd="/")
        (to.data / "auto.cnf").unlink(missing_ok=True)

    def follow(self, replica: Server, writer: Server):
        """Whatever it was before."""
        how = "MASTER_AUTO_POSITION=1" if self.version == MYSQL else "MASTER_DEMOTE_TO_SLAVE=1"
        replica.reads = True
        replica.set(read_only="ON")
        replica.sql(f"STOP SLAVE; CHANGE MASTER TO MASTER_HOST='{writer.host}', MASTER_PORT={writer.port}, "
                    f"MASTER_USER='replicator', MASTER_PASSWORD='replicator-secret', {how}; START SLAVE")

    def wait_caught_up(self, timeout: float = 30):
        variable = "@@GLOBAL.gtid_executed" if self.version == MYSQL else "@@GLOBAL.gtid_binlog_pos"
        position = self.writer.sql(f"SELECT REPLACE({variable}, '\\n', '')")
        for replica in self.replicas:
            question = (f"SELECT WAIT_FOR_EXECUTED_GTID_SET('{position}', {int(timeout)})" if self.version == MYSQL else
                        f"SELECT MASTER_GTID_WAIT('{position}', {int(timeout)})")
            if replica.sql(question, timeout=timeout + 5) != "0":
                raise TimeoutError(f"{replica.name} has not replayed {position}: "
                                   f"{replica.sql('SHOW SLAVE STATUS')}\n{replica.process.log()[-1000:]}")

    def stop(self):
        for server in reversed(self.members):
            server.kill()  # nobody wants its data any more

    def _setup(self) -> str:
        """For --init-file, which wants each statement on a line of its own."""
        lines = []
        if self.version == MYSQL:
            plugins = {"app": None, "native": "mysql_native_password", "limited": None,
                       "sha2": "caching_sha2_password", "wide": "caching_sha2_password"}
            lines.append("CREATE USER replicator@'%' IDENTIFIED WITH mysql_native_password BY 'replicator-secret'")
        else:
            plugins = {"app": None, "native": None, "limited": None}
            lines.append("CREATE USER replicator@'%' IDENTIFIED BY 'replicator-secret'")
        lines.append("GRANT REPLICATION SLAVE ON *.* TO replicator@'%'")
        lines += [f"CREATE DATABASE {name}" for name in _DATABASES]
        for user, plugin in plugins.items():
            how = f"WITH {plugin} " if plugin else ""
            bound = " WITH MAX_USER_CONNECTIONS 3" if user == "limited" else ""
            lines.append(f"CREATE USER {user}@'%' IDENTIFIED {how}BY '{PASSWORDS[user]}'{bound}")
            lines += [f"GRANT ALL ON {name}.* TO {user}@'%'" for name in _DATABASES]
        return "".join(line + ";\n" for line in lines)

    def _initialise(self):
        """That takes seconds, and comes out the same each time: clusters that come later copy what the first one made."""
        self._private_directory(self.writer.directory)
        made = _initialised.get((self.version, self.user))
        if made is None or not made.exists():
            made = self.directory / "initialised"
            self._private_directory(made)
            self._initialise_in(made / "data")
            _initialised[self.version, self.user] = made
        # Not by that user, who may not look into other clusters' directories.
        run(["cp", "-a", made / "data", self.writer.data])
        self.writer.data.joinpath("auto.cnf").unlink(missing_ok=True)

    def _initialise_in(self, data: Path):
        if self.version == MYSQL:
            argv = [*self.mysqld, "--initialize-insecure", f"--datadir={data}",
                    "--innodb-log-file-size=8M", "--innodb-flush-log-at-trx-commit=0", "--skip-log-bin",
                    "--performance-schema=OFF"]
        else:
            argv = ["/usr/bin/mariadb-install-db", "--no-defaults", f"--datadir={data}",
                    "--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-log-file-size=16M"]
        # A server that starts removes others' temporary tables from the directory of all.
        run(argv, user=self.user, env={**self.environment, "TMPDIR": str(data.parent)}, cwd="/", timeout=180)

    def _program(self) -> list:
        if self.version == MARIADB:
            return [paths.DEBIAN_MARIADB, "--no-defaults"]
        base = paths.MYSQL_8
        reachable = run(["test", "-x", base / "bin/mysqld"], user=self.user, check=False, cwd="/")
        if reachable.returncode != 0:  # a clone below a directory that is closed to others
            base = self.directory / "mysql"
            if not base.exists():
                shutil.copytree(paths.MYSQL_8, base, symlinks=True)
        return [base / "bin/mysqld", "--no-defaults", f"--basedir={base}", f"--lc-messages-dir={base}/share",
                f"--character-sets-dir={base}/share/charsets"]
