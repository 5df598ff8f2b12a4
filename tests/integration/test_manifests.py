"""Broken manifests: every error with file, line, field, value and remedy; what was in force stays in force."""

import copy

import pytest

from support import paths
from support.manifests import config_map, db_proxy, endpoint, secret, to_yaml
from support.process import run
from support.waiting import wait_for


def documents(bed, **options) -> list[dict]:
    return [db_proxy(bed.cluster, bed.port, **options), secret("orders-app", "app", "app-secret"),
            config_map("database-ca", {"ca.pem": bed.cluster.authority.certificate.read_text()})]


def pool(document) -> dict:
    return document["spec"]["targetGroups"][0]["connectionPool"]


# name: (what to break, words that the error has to hold)
BROKEN = {
    "sqlserver": (lambda docs: docs[0]["spec"].update(engineFamily="SQLSERVER"), ["engineFamily", "SQLSERVER"]),
    "percent 0": (lambda docs: pool(docs[0]).update(maxConnectionsPercent=0), ["maxConnectionsPercent", "0", "100"]),
    "percent 101": (lambda docs: pool(docs[0]).update(maxConnectionsPercent=101),
                    ["maxConnectionsPercent", "101", "100"]),
    "unknown field": (
        lambda docs: pool(docs[0]).update(maxConnectionPercent=pool(docs[0]).pop("maxConnectionsPercent")),
        ["maxConnectionPercent", "maxConnectionsPercent"]),
    "missing secret": (lambda docs: docs.pop(1), ["orders-app"]),
    "malformed secret": (lambda docs: docs[1].update(stringData={"username": "app"}), ["password"]),
    "two entries for one user": (lambda docs: docs[0]["spec"]["auth"].append(copy.deepcopy(docs[0]["spec"]["auth"][0])),
                                 ["app"]),
    "two endpoints on one port": (lambda docs: docs.append(endpoint("orders-ro", "orders",
                                                                    docs[0]["spec"]["port"])), ["port"]),
    "missing ca": (lambda docs: docs.pop(2), ["database-ca"]),
    "text for a number": (lambda docs: docs[0]["spec"].update(port="many"), ["port", "many"]),
    "tls disabled and required": (
        lambda docs: (docs[0]["spec"].update(requireTLS=True),
                      docs[0]["spec"]["targetGroups"][0]["dbCluster"].update(tls={"mode": "disable"})),
        ["requireTLS", "disable"]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_start_on_a_broken_manifest(bed, name):
    """A program that starts on errors prints all of them and exits with 2."""
    change, words = BROKEN[name]
    docs = documents(bed)
    change(docs)
    bed.manifests.write("broken.yaml", *docs)
    for program in ("dbproxy", "dbproxy-operator"):
        where = (["--admin", "127.0.0.1:0"] if program == "dbproxy"
                 else ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--state-dir", bed.directory / "state"])
        done = run([paths.binary(program), "--manifests", bed.manifests.directory, *where], check=False, timeout=20)
        output = done.stdout + done.stderr
        assert done.returncode == 2, f"{program}: {done.returncode}\n{output}"
        for word in ["broken.yaml", *words]:
            assert word in output, f"{program} does not say {word!r}:\n{output}"
        assert "app-secret" not in output


def test_all_errors_at_once_with_lines(bed):
    docs = documents(bed)
    docs[0]["spec"]["engineFamily"] = "SQLSERVER"
    pool(docs[0])["maxConnectionsPercent"] = 0
    pool(docs[0])["maxIdleConectionsPercent"] = 5
    text = "---\n".join(to_yaml(document) for document in docs)
    bed.manifests.write_text("broken.yaml", text)
    done = run([paths.binary("dbproxy"), "--manifests", bed.manifests.directory, "--admin", "127.0.0.1:0"],
               check=False, timeout=20)
    output = done.stdout + done.stderr
    for field in ("engineFamily", "maxConnectionsPercent", "maxIdleConectionsPercent"):
        line = next(number for number, line in enumerate(text.splitlines(), 1) if f"{field}:" in line)
        assert f"broken.yaml:{line}" in output, output


def test_not_yaml(bed):
    bed.manifests.write_text("broken.yaml", "kind: [DBProxy\n  spec: {")
    done = run([paths.binary("dbproxy"), "--manifests", bed.manifests.directory, "--admin", "127.0.0.1:0"],
               check=False, timeout=20)
    assert done.returncode == 2 and "broken.yaml" in done.stdout + done.stderr


def test_broken_edit_changes_nothing(bed):
    sidecar = bed.sidecar(limit=5)
    client = bed.connect()
    before = bed.manifests.directory.joinpath("orders.yaml").read_text()
    bed.manifests.write_text("orders.yaml", before.replace("maxConnectionsPercent: 5", "maxConnectionsPercent: 500"))
    wait_for(lambda: "maxConnectionsPercent" in sidecar.log() and "500" in sidecar.log(), 5, "the error is logged")
    assert client.execute("SELECT 1").fetchone() == (1,)
    assert bed.connect().execute("SELECT 1").fetchone() == (1,)
    bed.manifests.write_text("orders.yaml", before.replace("maxConnectionsPercent: 5", "maxConnectionsPercent: 7"))
    wait_for(lambda: any(row["limit"] == 7 for row in sidecar.json("targets")), 5, "the repaired edit is in force")
    assert client.execute("SELECT 1").fetchone() == (1,)
