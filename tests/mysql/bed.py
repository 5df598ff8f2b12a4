"""One DBProxy `shop/orders` of engine MYSQL, a sidecar on it, and the clients that a test opens through it."""

import contextlib
from pathlib import Path

import pymysql

from support import paths
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

    def sidecar(self, env=None, **options) -> Sidecar:
        self.write(**options)
        self._sidecar = Sidecar(self.directory, "sidecar", manifests=self.manifests.directory, env=env)
        return self._sidecar.start()

    def operator(self, **options) -> tuple[Operator, Sidecar]:
        self.write(**options)
        self._operator = Operator(self.directory, self.manifests.directory, ("shop/orders-1",)).start()
        self._sidecar = Sidecar(self.directory, "sidecar", operator=self._operator)
        return self._operator, self._sidecar.start()

    def connect(self, user="app", database="orders", port=None, **options) -> pymysql.Connection:
        options = {"password": PASSWORDS[user], "autocommit": True, "ssl_disabled": True, "connect_timeout": 20,
                   "read_timeout": 30, **options}
        connection = pymysql.connect(host="127.0.0.1", port=port or self.port, user=user, database=database, **options)
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
