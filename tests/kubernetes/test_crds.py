"""The resources on a real API server: rules, defaults, columns, status, and the same fields as manifests have."""

import re

import pytest
import yaml

from bad_manifests import TABLE, refusals, text_of
from support import paths
from support.kube_apiserver import Refused

SCHEMAS = {}
for _file in ("dbproxies", "dbproxyendpoints"):
    _crd = yaml.safe_load((paths.ROOT / f"crds/{_file}.yaml").read_text())
    SCHEMAS[_crd["spec"]["names"]["kind"]] = _crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
PATH = "/apis/dbproxy.io/v1alpha1/namespaces/shop/dbproxies"
SMALL = {"apiVersion": "dbproxy.io/v1alpha1", "kind": "DBProxy", "metadata": {"name": "small"}, "spec": {
    "engineFamily": "POSTGRESQL", "auth": [{"secretRef": {"name": "app"}}],
    "targetGroups": [{"dbCluster": {"endpoint": "db.example", "tls": {"mode": "require"}}}]}}


def test_the_base_of_the_table_is_taken(crds):
    assert refusals(crds, TABLE["base"]) == []


@pytest.mark.parametrize("case", [c for c in TABLE["cases"] if c["where"] != "file"], ids=lambda c: c["name"])
def test_bad_manifest(crds, case):
    said = refusals(crds, text_of(case))
    if case["where"] == "api":
        assert case["says"] in "\n".join(said)
    else:
        assert said == []


def test_defaults_are_what_the_reference_says(crds):
    made = crds.request("POST", PATH + "?dryRun=All", SMALL)["spec"]
    assert {key: made[key] for key in ("requireTLS", "idleClientTimeoutSeconds", "maxClientAgeSeconds", "debugLogging",
                                       "sequencePinning", "deferredBegin", "clientAuth")} == {
        "requireTLS": False, "idleClientTimeoutSeconds": 1800, "maxClientAgeSeconds": 86400, "debugLogging": False,
        "sequencePinning": "Off", "deferredBegin": "On", "clientAuth": "Password"}
    assert made["auth"][0] == {"authScheme": "SECRETS", "iamAuth": "DISABLED", "secretRef": {"name": "app"}}
    group = made["targetGroups"][0]
    assert group["name"] == "default"
    assert group["connectionPool"] == {"maxConnectionsPercent": 100, "connectionBorrowTimeoutSeconds": 120}
    assert group["dbCluster"]["tls"] == {"mode": "require", "negotiation": "postgres"}


def columns(api, wide: bool) -> dict:
    lines = api.kubectl("get", "dbp", "-n", "shop", *(["-o", "wide"] if wide else [])).stdout.splitlines()
    starts = [match.start() for match in re.finditer(r"\S+", lines[0])]
    cells = [lines[1][start:end].strip() for start, end in zip(starts, [*starts[1:], None])]
    return dict(zip(lines[0].split(), cells))


def test_columns_show_the_status(crds):
    crds.request("POST", PATH, SMALL)
    status = {"observedGeneration": 1, "availableTargets": "1/2", "connections": {"limit": 90, "granted": 41},
              "sidecars": {"connected": 3, "updated": 3, "rejected": 0},
              "targets": [{"id": "a", "role": "READ_ONLY", "health": "AVAILABLE"},
                          {"id": "b", "role": "READ_WRITE", "health": "AVAILABLE", "lagSeconds": 0.5}],
              "conditions": [{"type": "Ready", "status": "True", "reason": "Serving", "message": "",
                              "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
    body = {"apiVersion": SMALL["apiVersion"], "kind": "DBProxy", "metadata": {"name": "small"}, "status": status}
    crds.patch(PATH + "/small/status?fieldManager=test&force=true&fieldValidation=Strict", body, "apply")
    seen = columns(crds, wide=False)
    assert seen.pop("AGE")
    assert seen == {"NAME": "small", "ENGINE": "POSTGRESQL", "READY": "True", "TARGETS": "1/2", "SIDECARS": "3",
                    "CONNECTIONS": "41"}
    wide = columns(crds, wide=True)
    assert (wide["WRITER"], wide["REASON"]) == ("b", "Serving")
    # The status is a resource of its own: an edit of the object leaves it, and writing it leaves the spec.
    crds.patch(PATH + "/small", {"spec": {"debugLogging": True}, "status": {"observedGeneration": 9}})
    after = crds.get(PATH + "/small")
    assert after["status"]["observedGeneration"] == 1 and after["metadata"]["generation"] == 2


def test_a_good_object_cannot_be_edited_into_a_bad_one(crds):
    crds.request("POST", PATH, {**SMALL, "metadata": {"name": "edited"}})
    with pytest.raises(Refused, match="is not supported: Aurora has no SQL Server engine"):
        crds.patch(PATH + "/edited", {"spec": {"engineFamily": "SQLSERVER"}})


def walk(schema: dict, path: str = ""):
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}" if path else name)
    if "items" in schema:
        yield from walk(schema["items"], path + "[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from walk(schema["additionalProperties"], path + "{}")


@pytest.mark.parametrize("kind", SCHEMAS)
def test_everything_is_bounded(kind):
    unbounded = []
    for path, schema in walk({"properties": {part: SCHEMAS[kind]["properties"][part] for part in ("spec", "status")}}):
        bounds = {"string": ("maxLength", "enum", "format"), "array": ("maxItems",)}.get(schema.get("type"), ())
        if isinstance(schema.get("additionalProperties"), dict):
            bounds = ("maxProperties",)
        if bounds and not any(bound in schema for bound in bounds):
            unbounded.append(path)
    assert unbounded == []


@pytest.mark.parametrize("kind", SCHEMAS)
def test_fields_are_those_of_manifests(kind):
    """The reference has the loader's fields (tests/docs compares them), and loader_schema_test the other direction."""
    section = re.search(rf"^### {kind}$(.*?)^### ", (paths.ROOT / "docs/reference.md").read_text(), re.M | re.S)[1]
    written = set(re.findall(r"^\| `([\w.\[\]]+)` \|", section, re.M))
    written = {name for name in written if not name.startswith("metadata.")}
    fields = set()
    for path, schema in walk(SCHEMAS[kind]["properties"]["spec"]):
        leaf = "properties" not in schema and not path.endswith("{}")
        path = re.sub(r"\[\]$", "", path)
        # A namespace beside a reference is in the schema only to be refused in words.
        if path and leaf and schema.get("items", {}).get("properties") is None and not path.endswith(".namespace"):
            fields.add(path)
    assert fields == written
