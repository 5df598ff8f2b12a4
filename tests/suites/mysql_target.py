"""Where a suite for MySQL runs: a server with a superuser for it, directly or through a sidecar with few connections."""

from target import DATABASE, USER, Bench

from support import mysql
from support.testbed import Testbed

# Suites write to tables of MyISAM in transactions, which GTIDs forbid, and read what the performance schema has.
_SETTINGS = {
    mysql.MYSQL: {"max_connections": 100, "gtid_mode": "OFF", "enforce_gtid_consistency": "OFF", "performance_schema": "ON"},
    mysql.MARIADB: {"max_connections": 100, "performance_schema": "ON"},
}


class MysqlBench(Bench):
    users, engine = (USER,), "MYSQL"

    def __init__(self, bed: Testbed, version: str):
        super().__init__(bed, bed.mysql_cluster(version=version, settings=_SETTINGS[version]))
        self.cluster.writer.sql(f"CREATE USER {USER}@'%' IDENTIFIED BY 'suite-secret'; "
                                f"GRANT ALL ON *.* TO {USER}@'%' WITH GRANT OPTION")

    def empty(self, writer):
        writer.sql(f"DROP DATABASE IF EXISTS {DATABASE}; CREATE DATABASE {DATABASE}")
