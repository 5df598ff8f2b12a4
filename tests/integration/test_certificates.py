"""Certificates of clients, our own towards the database, and TLS that begins without asking, on either hop."""

import contextlib

import psycopg
import pytest

from support import wire
from support.certificates import Authority
from support.manifests import config_map
from support.postgres import PASSWORDS
from support.waiting import wait_for


class People:
    """A CA of its own for clients, and what they show."""

    def __init__(self, bed):
        self.bed = bed
        self.authority = Authority(bed.directory / "people-ca", "people")

    def config_map(self, name="people-ca"):
        return config_map(name, {"ca.pem": self.authority.certificate.read_text()})

    def shows(self, name, **issue):
        certificate, key = self.authority.issue(name, usage="clientAuth", **issue)
        return {"sslcert": str(certificate), "sslkey": str(key), "sslmode": "require"}

    def refused(self, **options) -> str:
        with pytest.raises(psycopg.OperationalError) as caught:
            self.bed.connect(**options)
        return str(caught.value)


@pytest.fixture
def people(bed):
    made = People(bed)
    bed.manifests.write("people.yaml", made.config_map())
    return made


def with_sidecar(bed, way, **options):
    """The same over manifests of its own and over an operator: every field has to go over the wire as well."""
    if way == "operator":
        bed.write(**options)
        return bed.sidecar_of(bed.operator())
    return bed.sidecar(**options)


@pytest.mark.parametrize("way", ["manifests", "operator"])
def test_clients_show_a_certificate_of_their_own(bed, people, way):
    sidecar = with_sidecar(bed, way, clientCert={"caRef": {"name": "people-ca"}})
    assert "requires TLS with a client certificate" in people.refused()
    assert "requires a valid client certificate" in people.refused(sslmode="require")
    assert 'not for user "app"' in people.refused(**people.shows("reports"))
    assert 'not for user "app"' in people.refused(**people.shows("two", subject="/CN=app/CN=app"))
    mine = people.shows("app")
    assert "password authentication failed" in people.refused(**mine, password="wrong")
    for extra in ({}, {"channel_binding": "require"}, {"sslnegotiation": "direct"}):
        assert bed.connect(**mine, **extra).execute("SELECT 1").fetchone() == (1,)
    stranger = Authority(bed.directory / "strangers", "strangers")
    certificate, key = stranger.issue("app", usage="clientAuth")
    assert people.refused(sslcert=str(certificate), sslkey=str(key), sslmode="require")
    # Whoever can open the socket is on this machine, and libpq shows nothing there.
    assert bed.connect(host=str(sidecar.socket_dir)).execute("SELECT 2").fetchone() == (2,)
    assert sidecar.metrics().sum("dbproxy_logins_total", result="certificate") == 3


def test_any_certificate_of_the_authority(bed, people):
    sidecar = bed.sidecar(clientCert={"mode": "verify-ca", "caRef": {"name": "people-ca"}}, extra=("--log-level", "debug"))
    assert "requires a valid client certificate" in people.refused(sslmode="require")
    assert bed.connect(**people.shows("anybody")).execute("SELECT 1").fetchone() == (1,)
    assert " method=scram-sha-256-plus+certificate " in sidecar.log()


def test_a_new_authority_counts_from_the_next_log_in_on(bed, people):
    bed.sidecar(clientCert={"caRef": {"name": "people-ca"}})
    before = people.shows("app")
    connection = bed.connect(**before)
    people.authority = Authority(bed.directory / "people-ca-2", "people again")
    bed.manifests.write("people.yaml", people.config_map())
    after = people.shows("app")

    def taken():
        with contextlib.suppress(psycopg.OperationalError):
            return bed.connect(**after).execute("SELECT 1").fetchone() == (1,)
        return False
    wait_for(taken, what="the new authority is in force")
    assert people.refused(**before)
    assert connection.execute("SELECT 2").fetchone() == (2,)


@pytest.fixture
def certified(bed, people, monkeypatch):
    """A role that the database lets in with a certificate only."""
    monkeypatch.setitem(PASSWORDS, "certified", "certified-secret")
    bed.writer.sql("CREATE ROLE certified LOGIN PASSWORD 'certified-secret'")
    files = {}
    for server in bed.cluster.members:
        access = server.data / "pg_hba.conf"
        files[access] = access.read_text()
        bed.cluster._write(server.data / "people.pem", people.authority.certificate.read_text())
        access.write_text("hostssl all certified all scram-sha-256 clientcert=verify-full\n" + files[access])
        server.set(ssl_ca_file="people.pem")
    yield "certified"
    for access, text in files.items():
        access.write_text(text)
    for server in bed.cluster.members:
        server.end_sessions("certified")
        server.sql("ALTER SYSTEM RESET ssl_ca_file")
        server.sql("SELECT pg_reload_conf()")
    bed.writer.sql("DROP ROLE certified")


def pair(people, name):
    certificate, key = people.authority.issue(name, usage="clientAuth")
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pair", "namespace": "shop"},
            "stringData": {"tls.crt": certificate.read_text(), "tls.key": key.read_text()}}


@pytest.mark.parametrize("way", ["manifests", "operator"])
def test_the_database_is_shown_a_certificate(bed, people, certified, way):
    bed.manifests.write("pair.yaml", pair(people, "somebody"))
    bed.write(users=(certified,), pool={"connectionBorrowTimeoutSeconds": 1})
    bed.manifests.edit("orders.yaml", lambda document: document["spec"]["targetGroups"][0]["dbCluster"]["tls"].update(
        clientCertificateRef={"name": "pair"}))
    if way == "operator":
        sidecar = bed.sidecar_of(bed.operator())
    else:
        sidecar = bed.sidecar(write=False)
    refusal = people.refused(user=certified)
    bed.manifests.write("pair.yaml", pair(people, certified))

    def shown():
        with contextlib.suppress(psycopg.OperationalError):
            return bed.connect(user=certified).execute(
                "SELECT client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone() == ("/CN=certified",)
        return False
    wait_for(shown, what="the certificate is shown", timeout=20)
    assert "certified" in refusal or "timed out" in refusal or "timeout" in refusal
    for key in ("BEGIN PRIVATE", "tls.key"):
        assert key not in sidecar.log()


@pytest.mark.parametrize("way", ["manifests", "operator"])
def test_tls_without_asking_towards_the_database(bed, way):
    bed.write(pool={"connectionBorrowTimeoutSeconds": 1})
    bed.manifests.edit("orders.yaml", lambda document: document["spec"]["targetGroups"][0]["dbCluster"]["tls"].update(
        negotiation="direct"))
    operator = bed.operator() if way == "operator" else None
    old = bed.cluster.version < 17
    sidecar = bed.sidecar_of(operator) if operator else bed.sidecar(write=False, wait=not old)
    if old:
        told = operator or sidecar
        wait_for(lambda: "tls.negotiation: direct needs PostgreSQL 17 or later" in told.log(), what="it is said why")
        return
    connection = bed.connect()
    assert connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone() == (True,)
    client = bed.raw_session()
    client.send(wire.query("SELECT pg_sleep(20)"))
    wait_for(lambda: bed.writer.sessions("app", "query LIKE '%pg_sleep(20)%' AND state = 'active'"), what="it runs")
    client.cancel()
    with pytest.raises(wire.ServerError) as caught:
        client.until_ready()
    assert caught.value.sqlstate == "57014"
