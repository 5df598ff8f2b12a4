"""Certificates while the operator runs: leaves are renewed, the CA is exchanged for another, and no stream ends for it."""

import base64
import re
import socket
import ssl
import struct

import psycopg
import pytest

from support.certificates import Authority
from support.kube_operator import NAMESPACE
from support.postgres import PASSWORDS
from support.waiting import wait_for

SECRET = f"/api/v1/namespaces/{NAMESPACE}/secrets/dbproxy-operator-ca"
BUNDLE = "/api/v1/namespaces/shop/configmaps/dbproxy-operator-ca"


def shown(operator, authorities: str) -> bytes:
    """The certificate that a new connection is shown; an error where these authorities did not sign it."""
    context = ssl.create_default_context(cadata=authorities)
    context.set_alpn_protocols(["h2"])
    host, _, port = operator.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname="dbproxy-operator.dbproxy-system.svc") as tls:
            return tls.getpeercert(binary_form=True)


def bundle(shop) -> list[str]:
    text = shop.api.get(BUNDLE)["data"]["ca.pem"]
    return re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", text, re.S)


def held(shop, key: str) -> str:
    return base64.b64decode(shop.api.get(SECRET)["data"].get(key, "")).decode()


def connects(operator, name="web-1") -> int:
    return operator.log().count(f"sidecar connected identity=shop/{name}")


def leaf(shop) -> bytes:
    """What the sidecar shows a client of PostgreSQL that asks for TLS."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", shop.port), timeout=10) as plain:
        plain.sendall(struct.pack("!II", 8, 80877103))
        assert plain.recv(1) == b"S"
        with context.wrap_socket(plain) as tls:
            return tls.getpeercert(binary_form=True)


class Verifying:
    """A client that stays, and one more at each look, with sslmode=verify-full and the file that the webhook mounts."""

    def __init__(self, shop):
        self.shop, self.file, self.leaves = shop, shop.directory / "mounted-ca.pem", set()
        self.look()
        self.stays = self.connect()

    def connect(self, host="localhost"):
        return psycopg.connect(host=host, hostaddr="127.0.0.1", port=self.shop.port, user="app", dbname="orders",
                               password=PASSWORDS["app"], sslmode="verify-full", sslrootcert=str(self.file),
                               connect_timeout=20, autocommit=True)

    def look(self) -> bool:
        """The file is what the namespace's ConfigMap is, as the kubelet brings it."""
        self.file.write_text("".join(bundle(self.shop)))
        with self.connect() as fresh:
            assert fresh.execute("SELECT 1").fetchone() == (1,)
        self.leaves.add(leaf(self.shop))
        return True

    def end(self):
        assert self.stays.execute("SELECT 2").fetchone() == (2,), "nobody was lost"
        self.stays.close()


def test_leaves_are_renewed_and_streams_stay(shop):
    operator = shop.operator(extra=["--certificate-seconds", "20"])
    shop.apply(requireTLS=True)
    sidecar = shop.sidecar(operator)
    assert shop.select() == 42
    clients = Verifying(shop)
    with pytest.raises(psycopg.OperationalError, match="does not match host name"):
        clients.connect("elsewhere")
    clients.connect("127.0.0.1").close()
    authority = sidecar.authority.read_text()
    pushed = operator.metrics().sum("dbproxy_operator_config_pushes_total")
    seen = {shown(operator, authority)}
    wait_for(lambda: clients.look() and seen.add(shown(operator, authority)) or len(seen) >= 3, 90, "two renewals",
             interval=0.3)
    # The sidecar's own listeners have theirs from the operator.
    wait_for(lambda: operator.metrics().sum("dbproxy_operator_config_pushes_total") >= pushed + 2, 60,
             "the sidecar was given others")
    wait_for(lambda: clients.look() and len(clients.leaves) >= 2, 30, "clients are shown another", interval=0.3)
    clients.end()
    assert connects(operator) == 1 and shop.select() == 42
    assert operator.metrics().sum("dbproxy_operator_certificate_expires_seconds") > 0
    shop.sidecar(operator, name="web-2", wait=False)
    wait_for(lambda: connects(operator, "web-2") == 1, 30, "a new sidecar is let in")


def test_the_ca_is_exchanged_and_nobody_is_cut_off(shop):
    operator = shop.operator(extra=["--ca-overlap-seconds", "8"])
    shop.apply()
    sidecar = shop.sidecar(operator)
    old = held(shop, "tls.crt")
    wait_for(lambda: bundle(shop) == [old], 30, "one CA")
    clients = Verifying(shop)
    shop.api.patch(SECRET, {"metadata": {"annotations": {"dbproxy.io/rotate": "now"}}})
    # At first it is only trusted.
    wait_for(lambda: len(bundle(shop)) == 2, 30, "two CAs", interval=0.2)
    new = held(shop, "next.crt") or held(shop, "tls.crt")
    assert new != old and set(bundle(shop)) == {old, new}
    assert not shop.api.get(SECRET)["metadata"].get("annotations")
    both = "".join(bundle(shop))
    wait_for(lambda: clients.look() and held(shop, "tls.crt") == new, 60, "it signs", interval=0.2)
    wait_for(lambda: clients.look() and signed_by(operator, new), 30, "new connections are shown a certificate of it", interval=0.2)
    # As the kubelet would bring it meanwhile; a sidecar that connects anew trusts both.
    sidecar.authority.write_text(both)
    wait_for(lambda: clients.look() and bundle(shop) == [new], 60, "the old one is trusted no more", interval=0.2)
    clients.look()
    clients.end()
    assert len(clients.leaves) >= 2
    assert connects(operator) == 1 and shop.select() == 42
    operator.stop()
    operator.start()
    wait_for(lambda: connects(operator) == 2, 60, "it connects to an operator that only the new one vouches for")
    shop.sidecar(operator, name="web-2", wait=False)
    wait_for(lambda: connects(operator, "web-2") == 1, 30, "a new sidecar knows the new one only")


def signed_by(operator, authority: str) -> bool:
    try:
        return bool(shown(operator, authority))
    except ssl.SSLError:
        return False


def test_someone_elses_ca_is_taken_over_without_a_gap(shop):
    """Put under next.crt and next.key; one that cannot sign is refused in words."""
    operator = shop.operator(extra=["--ca-overlap-seconds", "3"])
    shop.apply()
    shop.sidecar(operator)
    shop.api.patch(SECRET, {"data": {"next.crt": base64.b64encode(b"no certificate").decode()}})
    wait_for(lambda: "are no authority that can sign" in operator.log(), 30, "it is refused in words")
    shop.api.patch(SECRET, {"data": {"next.crt": None}})
    other = Authority(shop.directory / "other")
    shop.api.patch(SECRET, {"data": {"next.crt": base64.b64encode(other.certificate.read_bytes()).decode(),
                                     "next.key": base64.b64encode(other.key.read_bytes()).decode()}})
    wait_for(lambda: signed_by(operator, other.certificate.read_text()), 60, "it signs", interval=0.2)
    assert connects(operator) == 1
