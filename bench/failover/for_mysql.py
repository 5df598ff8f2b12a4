"""What is compared on MySQL, and the clusters that it is compared on. PgBouncer does not speak it."""

import contextlib

import pymysql
from support.manifests import Manifests, config_map, db_proxy, secret
from support.mysql import MYSQL, PASSWORDS, Cluster
from support.mysql_aurora import AuroraCluster
from support.ports import free_port
from support.sidecar import Sidecar
from support.waiting import wait_for

TITLE = "MySQL"
ERRORS = (pymysql.err.MySQLError,)
_NOT_THE_WRITER = (1290, 1836)


class Connection:
    """To the first of `hosts` that takes writes; `look`: it is asked whether it does, as drivers with lists of hosts
    do."""

    def __init__(self, hosts, look: bool):
        self._look, self.closed = look, False
        for host, port in hosts:
            with contextlib.suppress(pymysql.err.OperationalError):
                made = pymysql.connect(host=host, port=port, user="app", password=PASSWORDS["app"], database="orders",
                                       autocommit=True, ssl_disabled=True, connect_timeout=60, read_timeout=60)
                self._connection, self._cursor = made, made.cursor()
                if not look or not self._reads():
                    return
                made.close()
        raise pymysql.err.OperationalError(2003, "no host takes writes")

    def _reads(self) -> bool:
        self._cursor.execute("SELECT @@GLOBAL.read_only")
        return bool(self._cursor.fetchone()[0])

    def write(self):
        try:
            self._cursor.execute("INSERT INTO written VALUES (1)")
        except pymysql.err.MySQLError as error:
            self.closed = not self._connection.open or (self._look and error.args[0] in _NOT_THE_WRITER)
            raise

    def close(self):
        if self._connection.open:
            self._connection.close()


@contextlib.contextmanager
def direct(_directory, cluster, _binaries):
    hosts = [(server.host, server.port) for server in cluster.members]
    yield lambda: Connection(hosts, look=True), lambda _server: None


@contextlib.contextmanager
def serve(directory, cluster, binaries, db_cluster=None, inside=None):
    """dbproxy; the sidecar too."""
    manifests, port = Manifests(directory / "m"), free_port("127.0.0.1")
    manifests.write("orders.yaml", db_proxy(cluster, port, tls=False, engineFamily="MYSQL", db_cluster=db_cluster,
                                            pool={"connectionBorrowTimeoutSeconds": 60}))
    manifests.write("secrets.yaml", secret("orders-app", "app", PASSWORDS["app"]),
                    config_map("database-ca", {"ca.pem": cluster.authority.certificate.read_text()}))
    sidecar = Sidecar(directory, manifests=manifests.directory, binary=binaries / "dbproxy", inside=inside).start()
    try:
        # Such pages are for loopback only, which is in there.
        wait_for(lambda: sidecar.log().count("target available") == 2, 20, "both are seen")
        yield lambda: Connection([(sidecar.bind, port)], look=False), sidecar
    finally:
        sidecar.stop()


@contextlib.contextmanager
def dbproxy(directory, cluster, binaries):
    with serve(directory, cluster, binaries, cluster.spec()) as (connect, _sidecar):
        yield connect, lambda _server: None


CANDIDATES = {"direct": direct, "dbproxy": dbproxy}
TITLES = {"direct": "direct, both hosts", "dbproxy": "dbproxy"}


def cluster(directory, bed):
    return AuroraCluster(directory / "cluster", members=2, version=MYSQL, authority=bed.authority)


def outside(directory, bed, network):
    return Cluster(directory / "cluster", replicas=1, version=MYSQL, authority=bed.authority, address=network.outside)


def prepare(made):
    made.writer.sql("CREATE TABLE written (a int)", "orders")
    made.wait_caught_up()


def versions() -> list[str]:
    return ["MySQL 8.0.15"]
