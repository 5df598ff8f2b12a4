"""Writes DBProxy, DBProxyEndpoint, Secret and ConfigMap manifests into a directory that a program watches."""

import copy
import json
import os
from pathlib import Path

from .postgres import PASSWORDS, Cluster

API_VERSION = "dbproxy.io/v1alpha1"


def to_yaml(value, indent: int = 0) -> str:
    """Block style for mappings and lists; scalars as JSON, which YAML reads; multi-line text as a block."""
    pad = "  " * indent
    if isinstance(value, dict):
        lines = []
        for key, item in value.items():
            if isinstance(item, (dict, list)) and item:
                lines.append(f"{pad}{key}:\n{to_yaml(item, indent + (1 if isinstance(item, dict) else 0))}")
            elif isinstance(item, str) and "\n" in item:
                block = "".join(f"{pad}  {line}\n" for line in item.rstrip("\n").split("\n"))
                lines.append(f"{pad}{key}: |\n{block}")
            else:
                lines.append(f"{pad}{key}: {_scalar(item)}\n")
        return "".join(lines)
    lines = []
    for item in value:
        if isinstance(item, dict) and item:
            lines.append(f"{pad}- {to_yaml(item, indent + 1).lstrip()}")
        else:
            lines.append(f"{pad}- {_scalar(item)}\n")
    return "".join(lines)


def _scalar(value) -> str:
    plain = isinstance(value, str) and value and all(c.isalnum() or c in "-_./" for c in value) and value[0].isalpha()
    if plain and value.lower() not in ("true", "false", "null", "yes", "no", "on", "off", "y", "n"):
        return value
    return json.dumps(value, ensure_ascii=False)


def secret(name: str, username: str, password: str, namespace: str = "shop") -> dict:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace},
            "stringData": {"username": username, "password": password}}


def config_map(name: str, data: dict, namespace: str = "shop") -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data}


def endpoint(name: str, proxy: str, port: int, role: str = "READ_ONLY", namespace: str = "shop", **spec) -> dict:
    return {"apiVersion": API_VERSION, "kind": "DBProxyEndpoint", "metadata": {"name": name, "namespace": namespace},
            "spec": {"dbProxyName": proxy, "port": port, "targetRole": role, **spec}}


def db_proxy(cluster: Cluster, port: int, name: str = "orders", namespace: str = "shop", users=("app",),
             auth: dict | None = None, tls: bool = True, pool: dict | None = None, db_cluster: dict | None = None,
             **spec) -> dict:
    """A DBProxy for this cluster. `auth` adds fields to a user's entry, `pool` to connectionPool, the rest to spec.

    `db_cluster`: in the place of the list of members."""
    entries = [{"description": f"user {user}", "authScheme": "SECRETS", "secretRef": {"name": f"{name}-{user}"},
                **(auth or {}).get(user, {})} for user in users]
    tls_spec = ({"mode": "verify-full", "caRef": {"kind": "ConfigMap", "name": "database-ca", "key": "ca.pem"}}
                if tls else {"mode": "disable"})
    return {
        "apiVersion": API_VERSION, "kind": "DBProxy", "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "engineFamily": "POSTGRESQL", "port": port, "requireTLS": False, **spec, "auth": entries,
            "targetGroups": [{
                "name": "default",
                "dbCluster": {
                    **(db_cluster or {
                        "endpoint": cluster.writer.host, "port": cluster.writer.port,
                        "instances": [{"id": server.name, "endpoint": server.host, "port": server.port}
                                      for server in cluster.members]}),
                    "tls": tls_spec},
                "connectionPool": {"maxConnectionsPercent": 20, "connectionBorrowTimeoutSeconds": 10,
                                   **(pool or {})}}]}}


class Manifests:
    """A directory of manifests, each file replaced as a whole as editors and Kubernetes do."""

    def __init__(self, directory: Path):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self._written: dict[str, list[dict]] = {}

    def write(self, file: str, *documents: dict):
        self._written[file] = list(documents)
        self.write_text(file, "---\n".join(to_yaml(document) for document in documents))

    def write_text(self, file: str, text: str):
        temporary = self.directory / f".{file}.new"
        temporary.write_text(text)
        temporary.chmod(0o600)
        os.replace(temporary, self.directory / file)

    def remove(self, file: str):
        self._written.pop(file, None)
        (self.directory / file).unlink()

    def edit(self, file: str, change):
        """change(document) for every document of the file, which is then written again."""
        documents = copy.deepcopy(self._written[file])
        for document in documents:
            change(document)
        self.write(file, *documents)

    def for_cluster(self, cluster: Cluster, port: int, name: str = "orders", namespace: str = "shop", users=("app",),
                    **options):
        """The usual set: a DBProxy, a Secret for each user, the database's CA."""
        self.write(f"{name}.yaml", db_proxy(cluster, port, name, namespace, users, **options))
        self.write(f"{name}-secrets.yaml",
                   *[secret(f"{name}-{user}", user, PASSWORDS.get(user, "none"), namespace) for user in users],
                   config_map("database-ca", {"ca.pem": cluster.authority.certificate.read_text()}, namespace))

    def set_pool(self, name: str = "orders", **fields):
        """Changes fields of connectionPool."""
        self.edit(f"{name}.yaml", lambda document: document["spec"]["targetGroups"][0]["connectionPool"].update(fields))

    def set_spec(self, name: str = "orders", **fields):
        self.edit(f"{name}.yaml", lambda document: document["spec"].update(fields))
