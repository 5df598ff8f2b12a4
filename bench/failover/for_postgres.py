"""What is compared on PostgreSQL, and the clusters that it is compared on."""

import contextlib
import signal
import subprocess

import psycopg
from support import paths
from support.aurora import AuroraCluster
from support.manifests import Manifests
from support.ports import free_port
from support.postgres import PASSWORDS, Cluster
from support.process import Process
from support.sidecar import Sidecar
from support.waiting import wait_for

TITLE = "PostgreSQL"
ERRORS = (psycopg.Error,)


class Connection:
    def __init__(self, dsn: str):
        self._connection = psycopg.connect(dsn, autocommit=True, prepare_threshold=None)

    def write(self):
        self._connection.execute("INSERT INTO written VALUES (1)")

    @property
    def closed(self) -> bool:
        return self._connection.closed

    def close(self):
        self._connection.close()


def _to(host, port, **more):
    dsn = psycopg.conninfo.make_conninfo(host=host, port=port, user="app", password=PASSWORDS["app"], dbname="orders",
                                         sslmode="disable", connect_timeout=60, **more)
    return lambda: Connection(dsn)


@contextlib.contextmanager
def direct(_directory, cluster, _binaries):
    servers = cluster.members
    yield _to(",".join(server.host for server in servers), ",".join(str(server.port) for server in servers),
              target_session_attrs="read-write"), lambda _server: None


@contextlib.contextmanager
def pgbouncer(directory, cluster, _binaries):
    port = free_port("127.0.0.1")
    users, config = directory / "users", directory / "pgbouncer.ini"
    users.write_text(f'"app" "{PASSWORDS["app"]}"\n')

    def point_to(server):
        config.write_text(f"""[databases]
orders = host={server.host} port={server.port} dbname=orders
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
""")
    point_to(cluster.writer)
    for path in (directory, users, config):
        path.chmod(0o755)
    process = Process("pgbouncer", directory / "pgbouncer.log")
    process.start(["/usr/sbin/pgbouncer", config], user=cluster.user)
    connect = _to("127.0.0.1", port)
    try:
        wait_for(lambda: connect().close() or True, 20, "PgBouncer serves")

        def promoted(server):
            point_to(server)
            process.send(signal.SIGHUP)
        yield connect, promoted
    finally:
        process.stop()


@contextlib.contextmanager
def serve(directory, cluster, binaries, db_cluster=None, inside=None):
    """dbproxy; the sidecar too."""
    manifests, port = Manifests(directory / "m"), free_port("127.0.0.1")
    manifests.for_cluster(cluster, port, db_cluster=db_cluster, tls=inside is None,
                          pool={"connectionBorrowTimeoutSeconds": 60})
    sidecar = Sidecar(directory, manifests=manifests.directory, binary=binaries / "dbproxy", inside=inside).start()
    try:
        # Such pages are for loopback only, which is in there.
        wait_for(lambda: sidecar.log().count("target available") == 2, 20, "both are seen")
        yield _to(sidecar.bind, port), sidecar
    finally:
        sidecar.stop()


@contextlib.contextmanager
def dbproxy(directory, cluster, binaries):
    with serve(directory, cluster, binaries, cluster.spec()) as (connect, _sidecar):
        yield connect, lambda _server: None


CANDIDATES = {"direct": direct, "pgbouncer": pgbouncer, "dbproxy": dbproxy}
TITLES = {"direct": "direct, both hosts", "pgbouncer": "PgBouncer, pointed to the new writer", "dbproxy": "dbproxy"}


def cluster(directory, bed):
    return AuroraCluster(directory / "cluster", members=2, authority=bed.authority)


def outside(directory, bed, network):
    return Cluster(directory / "cluster", replicas=1, authority=bed.authority, address=network.outside)


def prepare(made):
    made.writer.sql("CREATE TABLE written (a int); GRANT ALL ON written TO app", "orders")
    made.wait_caught_up()


def versions() -> list[str]:
    return [subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
            .strip() for program in (paths.DEBIAN_POSTGRES / "postgres", "/usr/sbin/pgbouncer")]
