"""The table of bad manifests (tests/unit/manifest/bad_manifests.yaml) as the API server is asked about it."""

import json
import re

import yaml

from support import paths

TABLE = yaml.safe_load((paths.ROOT / "tests/unit/manifest/bad_manifests.yaml").read_text())
COLLECTIONS = {"DBProxy": "/apis/dbproxy.io/v1alpha1/namespaces/{}/dbproxies",
               "DBProxyEndpoint": "/apis/dbproxy.io/v1alpha1/namespaces/{}/dbproxyendpoints",
               "Secret": "/api/v1/namespaces/{}/secrets", "ConfigMap": "/api/v1/namespaces/{}/configmaps"}
# What the API server puts between a field's name and our words.
NOISE = re.compile(r'(?:Invalid value: (?:"[^"]*"|null)|Required value|Too long|Too many: \d+): ')


def text_of(case: dict) -> str:
    text = TABLE["base"]
    for edit in case.get("edits", []):
        assert edit["from"] in text, f"{case['name']}: an edit does not apply"
        text = text.replace(edit["from"], edit["to"], 1)
    return text + case.get("append", "")


def refusals(api, text: str) -> list[str]:
    """What the API server says about each document that it refuses, as kubectl apply would send it; nothing is kept."""
    out = []
    for document in text.split("\n---\n"):
        kind = re.search(r"^kind: (\w+)$", document, re.M)[1]
        namespace = re.search(r"^metadata: .*\bnamespace: (\w+)", document, re.M)
        path = COLLECTIONS[kind].format(namespace[1] if namespace else "default")
        code, answer = api.answer("POST", f"{path}?dryRun=All&fieldValidation=Strict", document.encode(),
                                content_type="application/yaml")
        if code > 299:
            message = json.loads(answer)["message"]
            out.append(NOISE.sub("", message.partition(" is invalid: ")[2] or message).strip("[]"))
    return out
