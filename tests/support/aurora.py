"""A cluster of the shape of Aurora's: members are named by one pattern of hosts, and each tells of all.

Real servers with streaming replication; Aurora's own functions are stand-ins in SQL, since they are nowhere else to be
had. What Aurora's control plane does at a failover, `fail_over` does: it promotes, points the others to the new writer
and writes down who it is.
"""

import itertools

from .ports import free_port
from .postgres import Cluster, Postgres
from .waiting import wait_for

PATTERN = "127.0.{net}.?"
_nets = itertools.count(1)

# A server tells of itself at first hand; of others what the table says, which comes by replication.
_SCHEMA = """\
CREATE TABLE public.aurora_members (server_id text PRIMARY KEY, writer boolean NOT NULL, updated timestamptz);
SET allow_system_table_mods = on;
CREATE FUNCTION pg_catalog.aurora_replica_status(OUT server_id text, OUT session_id text,
  OUT last_update_timestamp timestamptz, OUT replica_lag_in_msec double precision) RETURNS SETOF record
  LANGUAGE sql STABLE SECURITY DEFINER AS $$
  SELECT m.server_id, CASE WHEN own.itself THEN CASE WHEN pg_catalog.pg_is_in_recovery() THEN 'reader-' || m.server_id
                                                 ELSE 'MASTER_SESSION_ID' END
                           WHEN m.writer AND pg_catalog.pg_is_in_recovery() THEN 'MASTER_SESSION_ID'
                           ELSE 'reader-' || m.server_id END,
         pg_catalog.clock_timestamp() - CASE WHEN own.itself THEN interval '0' ELSE interval '1 s' END, 12.5
  FROM public.aurora_members m, LATERAL (SELECT m.server_id = pg_catalog.current_setting('cluster_name')) own (itself) $$;
"""


class AuroraCluster(Cluster):
    """Members have the ids 1, 2, 3 …, and the hosts 127.0.N.ID on one port. The first is the writer to begin with."""

    def __init__(self, directory, members: int = 3, **options):
        net = next(_nets)
        self.pattern = PATTERN.format(net=net)
        super().__init__(directory, replicas=members - 1, address=self.pattern.replace("?", "1"),
                         schema=_SCHEMA + "".join(
                             f"INSERT INTO public.aurora_members VALUES ('{n + 1}', {str(n == 0).lower()}, now());\n"
                             for n in range(members)), **options)
        self.port = free_port(*(self.pattern.replace("?", str(number)) for number in range(1, 10)))
        for number, server in enumerate(self.members, 1):
            self._place(server, str(number))

    def _place(self, server: Postgres, member: str):
        server.id, server.host, server.port = member, self.pattern.replace("?", member), self.port

    def hosts(self) -> set[str]:
        return {self.pattern.replace("?", str(number)) for number in range(1, 10)}

    def _configure(self, server: Postgres, settings: dict):
        super()._configure(server, {**settings, "cluster_name": f"'{server.id}'"})

    def spec(self) -> dict:
        """dbCluster without TLS's part: where to begin, and what members are called."""
        return {"endpoint": self.writer.host, "port": self.port, "instanceEndpointPattern": self.pattern}

    def fail_over(self, to: Postgres):
        to.promote()
        self.note_writer(to)

    def note_writer(self, to: Postgres):
        to.sql(f"UPDATE public.aurora_members SET writer = server_id = '{to.id}', updated = now()")
        for other in self.members:
            if other is not to and other.process.alive():
                self.follow(other, to)
        self.writer, self.replicas = to, [server for server in self.members if server is not to]

    def follow(self, reader: Postgres, writer: Postgres):
        reader.set(primary_conninfo=(f"host={writer.host} port={writer.port} user=replicator "
                                     f"password=replicator-secret sslmode=require application_name={reader.id}")
                   .replace("'", ""))

    def demote_in_place(self, server: Postgres, writer: Postgres):
        """It comes back as a reader of `writer`; as after a clean stop, no rewind is needed."""
        server.stop()
        self._write(server.data / "standby.signal", "")
        server.start()
        self.follow(server, writer)

    def add(self, member: str) -> Postgres:
        """A copy of a reader that is stopped for as long as that takes."""
        server, model = Postgres(self, f"member-{member}", "READ_ONLY"), self.replicas[0]
        self._place(server, member)
        self._private_directory(server.directory)
        model.stop()
        self._as_server(["cp", "-a", model.data, server.data])
        model.start()
        self._configure(server, {})
        server.start()
        self.writer.sql(f"INSERT INTO public.aurora_members VALUES ('{member}', false, now())")
        self.replicas.append(server)
        return server

    def remove(self, server: Postgres):
        self.writer.sql(f"DELETE FROM public.aurora_members WHERE server_id = '{server.id}'")
        wait_for(lambda: all(s.sql(f"SELECT count(*) FROM public.aurora_members WHERE server_id = '{server.id}'") == "0"
                             for s in self.members if s is not server), 20, f"{server.id} is out of the cluster")
        server.stop()
        self.replicas.remove(server)
