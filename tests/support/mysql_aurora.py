"""A cluster of the shape of Aurora MySQL's: members have hosts of one pattern, and each tells of all.

Real servers with replication; a view stands in for information_schema.replica_host_status, which no other server has and
nobody can make there. `query` asks it. What Aurora's control plane does at a failover, `fail_over` does.
"""

import itertools

from . import mysql
from .ports import free_port
from .waiting import wait_for

_nets = itertools.count(1)
_SCHEMA = """\
CREATE DATABASE stand_in_of_aurora;
CREATE TABLE stand_in_of_aurora.members (server_id varchar(60) PRIMARY KEY, writer boolean NOT NULL);
CREATE FUNCTION stand_in_of_aurora.own_id() RETURNS int READS SQL DATA RETURN @@server_id;
CREATE FUNCTION stand_in_of_aurora.is_reader() RETURNS int READS SQL DATA RETURN @@GLOBAL.read_only;
CREATE VIEW stand_in_of_aurora.replica_host_status AS SELECT server_id,
  CASE WHEN server_id = stand_in_of_aurora.own_id() AND stand_in_of_aurora.is_reader() = 0 THEN 'MASTER_SESSION_ID'
       WHEN server_id <> stand_in_of_aurora.own_id() AND writer AND stand_in_of_aurora.is_reader() = 1
         THEN 'MASTER_SESSION_ID'
       ELSE concat('reader-', server_id) END AS session_id,
  now(6) - INTERVAL (server_id <> stand_in_of_aurora.own_id()) SECOND AS last_update_timestamp,
  12.5 AS replica_lag_in_milliseconds FROM stand_in_of_aurora.members;
GRANT SELECT, EXECUTE ON stand_in_of_aurora.* TO app@'%';
"""
# As Aurora's storage is: what was acknowledged is there after a crash.
_DURABLE = {"innodb_flush_log_at_trx_commit": 1, "sync_binlog": 1}
QUERY = ("SELECT server_id, session_id = 'MASTER_SESSION_ID', TIMESTAMPDIFF(MICROSECOND, last_update_timestamp, NOW(6))"
         " / 1000000, replica_lag_in_milliseconds / 1000 FROM stand_in_of_aurora.replica_host_status")


class AuroraCluster(mysql.Cluster):
    """Members have the ids 1, 2, 3 …, and the hosts 127.1.N.ID on one port. The first is the writer to begin with."""

    def __init__(self, directory, members: int = 3, schema: str = "", settings: dict | None = None, **options):
        self.pattern = f"127.1.{next(_nets)}.?"
        rows = ", ".join(f"('{n + 1}', {n == 0})" for n in range(members))
        super().__init__(directory, replicas=members - 1,
                         settings={"log_slave_updates": "ON", **_DURABLE, **(settings or {})},
                         schema=f"{_SCHEMA}INSERT INTO stand_in_of_aurora.members VALUES {rows};\n{schema}", **options)
        self.port = free_port(*(self.host(number) for number in range(1, 10)))
        for number, server in enumerate(self.members, 1):
            self._place(server, number)

    def host(self, member: int) -> str:
        return self.pattern.replace("?", str(member))

    def _place(self, server, number: int):
        server.id, server.host, server.port = str(number), self.host(number), self.port

    def spec(self) -> dict:
        return {"endpoint": self.writer.host, "port": self.port, "instanceEndpointPattern": self.pattern,
                "topologyQuery": QUERY}

    def fail_over(self, to):
        to.promote()
        self.note_writer(to)

    def note_writer(self, to):
        to.sql(f"UPDATE stand_in_of_aurora.members SET writer = server_id = '{to.id}'")
        for other in self.members:
            if other is not to and other.process.alive():
                self.follow(other, to)
        self.writer, self.replicas = to, [server for server in self.members if server is not to]

    def add(self) -> mysql.Server:
        """A copy of a reader that is stopped for as long as that takes."""
        number, model = len(self.members), self.replicas[0]
        server = mysql.Server(self, number)
        self._place(server, number + 1)
        model.stop()
        self.copy(model, server)
        model.start()
        server.start()
        self.follow(server, self.writer)
        self.writer.sql(f"INSERT INTO stand_in_of_aurora.members VALUES ('{server.id}', false)")
        self.replicas.append(server)
        return server

    def remove(self, server):
        self.writer.sql(f"DELETE FROM stand_in_of_aurora.members WHERE server_id = '{server.id}'")
        wait_for(lambda: all(s.sql(f"SELECT count(*) FROM stand_in_of_aurora.members WHERE server_id = '{server.id}'")
                             == "0" for s in self.members if s is not server), 30, f"{server.id} is out of the cluster")
        server.kill()
        self.replicas.remove(server)
