"""One DBProxy `shop/orders` of engine MYSQL, a sidecar on it, and the clients that a test opens through it."""

import contextlib
from pathlib import Path

import pymysql

from support import hidden, paths
from support.manifests import Manifests, config_map, db_proxy, endpoint, secret
from support.mysql import PASSWORDS
from support.operator_process import Operator
from support.ports import free_port
from support.process import run
from support.sidecar import Sidecar


class Bed:
    def __init__(self, cluster, directory: Path):
        self.cluster, self.directory = cluster, directory
        self.writer = cluster.writer
        self.host = "127.0.0.1"
        self.port, self.readers = free_port("127.0.0.1"), free_port("127.0.0.1")
        self.manifests = Manifests(directory / "m")
        self.resources = contextlib.ExitStack()
        self._sidecar = self._operator = None

    def write(self, users=("app",), limit=20, read_only=False, tls=True, pool=None, secrets=None, **spec):
        """`limit`: so many percent of 60 server connections. `secrets`: passwords other than the users'."""
        document = db_proxy(self.cluster, self.port, users=users, tls=tls,
                            pool={"maxConnectionsPercent": limit, **(pool or {})}, engineFamily="MYSQL", **spec)
        self.manifests.write("orders.yaml", document)
        passwords = {**PASSWORDS, **(secrets or {})}
        self.manifests.write("secrets.yaml", *[secret(f"orders-{user}", user, passwords[user]) for user in users],
                             config_map("database-ca", {"ca.pem": self.cluster.authority.certificate.read_text()}))
        if read_only:
            self.manifests.write("readers.yaml", endpoint("orders-readers", "orders", self.readers))

    def sidecar(self, env=None, binary=None, inside=None, extra=(), **options) -> Sidecar:
        """`inside`: a namespace that it stands in."""
        self.write(**options)
        self._sidecar = Sidecar(self.directory, "sidecar", manifests=self.manifests.directory, env=env,
                                binary=binary, inside=inside, extra=extra)
        self.host = self._sidecar.bind
        return self._sidecar.start()

    def operator(self, env=None, binary=None, state=False, extra=(), **options) -> tuple[Operator, Sidecar]:
        self.write(**options)
        self._operator = Operator(self.directory, self.manifests.directory, ("shop/orders-1", "shop/orders-2"),
                                  extra=extra).start()
        self._sidecar = Sidecar(self.directory, "sidecar", operator=self._operator, env=env, binary=binary,
                                state_dir=self.directory / "state" if state else None)
        return self._operator, self._sidecar.start()

    def other_sidecar(self) -> Sidecar:
        """One more of the operator's, with its endpoints on 127.0.0.2."""
        other = Sidecar(self.directory, "other", operator=self._operator, identity="shop/orders-2", bind="127.0.0.2")
        self.resources.callback(other.stop)
        return other.start()

    def connect(self, user="app", database="orders", port=None, host=None, **options) -> pymysql.Connection:
        options = {"password": PASSWORDS[user], "autocommit": True, "ssl_disabled": True, "connect_timeout": 20,
                   "read_timeout": 30, **options}
        try:
            connection = pymysql.connect(host=host or self.host, port=port or self.port, user=user, database=database,
                                         **options)
        except pymysql.err.MySQLError as error:
            hidden.check_refusal(error, options["password"])
            raise
        self.resources.callback(lambda: connection.open and connection.close())
        return connection

    def command_line(self, text: str, user="app", database="orders", extra=(), check=True):
        return run([paths.MARIADB_CLIENT, "--no-defaults", "-h", "127.0.0.1", "-P", str(self.port), "-u", user,
                    f"-p{PASSWORDS[user]}", "-B", "-N", *extra, database], input=text, timeout=60, check=check)

    def close(self, failed: bool):
        self.resources.close()
        for process in filter(None, (self._sidecar, self._operator)):
            if failed:
                print(f"---- {process.name} ----\n{process.log()[-6000:]}")
            process.kill() if failed else process.stop()


def rows(connection, sql: str, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return cursor.fetchall()


def value(connection, sql: str, *parameters):
    return rows(connection, sql, *parameters)[0][0]
