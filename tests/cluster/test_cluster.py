"""The cluster does what a real one does, where dbproxy depends on it; and it leaves nothing behind."""

import json
import os
import socket
from pathlib import Path

import pytest

from cluster import configuration, images
from cluster.host import Cluster
from support.process import run
from support.waiting import wait_for

SECURITY = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


def container(name: str, script: str, **fields) -> dict:
    return {"name": name, "image": images.APPLICATION, "imagePullPolicy": "Never", "command": ["bash", "-c", script],
            "securityContext": SECURITY, **fields}


def job(name: str, script: str, sidecar: dict) -> dict:
    """In a namespace that enforces the restricted Pod Security standard."""
    token = {"serviceAccountToken": {"audience": "dbproxy-operator", "path": "token", "expirationSeconds": 3600}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": "shop"}, "spec": {
        "backoffLimit": 0, "template": {"spec": {
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 5,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "initContainers": [{**sidecar, "restartPolicy": "Always"}], "containers": [container("app", script)],
            "volumes": [{"name": "token", "projected": {"sources": [token]}},
                        {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]}}}}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    directory = tmp_path_factory.mktemp("cluster")
    with Cluster(directory / "state") as cluster:
        cluster.load(images.application(directory / "app.tar"))
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": "shop", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}})
        yield cluster
    assert not Cluster.taken() and not any(group.exists() for group in Cluster._cgroups())
    assert str(directory) not in Path("/proc/mounts").read_text()
    left = [process for process in Path("/proc").glob("[0-9]*/cmdline") if str(directory).encode() in _bytes(process)
            and int(process.parent.name) != os.getpid()]
    assert not left


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_job_with_a_native_sidecar_reaches_services_and_the_host_and_completes(cluster):
    with socket.create_server((cluster.host, 0)) as server:
        server.settimeout(60)
        port = server.getsockname()[1]
        sidecar = container("side", "trap 'exit 0' TERM; sleep 1000 & wait", volumeMounts=[
            {"name": "token", "mountPath": "/var/run/secrets/dbproxy"}, {"name": "memory", "mountPath": "/state"}])
        cluster.apply(job("reach", f"""
            until exec 3<>/dev/tcp/kubernetes.default.svc/443; do sleep 0.2; done
            until exec 4<>/dev/tcp/{cluster.host}/{port}; do sleep 0.2; done
            read -r answer <&4; echo "heard $answer"; read -r answer <&4""", sidecar))
        connection, address = server.accept()
        with connection:
            assert address[0].startswith("10.244.0.")
            connection.sendall(b"hello\n")
            pod = cluster.kubectl("-n", "shop", "get", "pod", "-l", "job-name=reach", "-o", "name").stdout.strip()
            token = cluster.kubectl("-n", "shop", "exec", pod, "-c", "side", "--", "cat",
                                    "/var/run/secrets/dbproxy/token").stdout
            review = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
                                 "spec": {"token": token, "audiences": ["dbproxy-operator"]}})
            user = json.loads(cluster.kubectl("create", "-o", "json", "-f", "-", input=review).stdout)["status"]["user"]
            assert user["username"] == "system:serviceaccount:shop:default"
            assert [f"pod/{name}" for name in user["extra"]["authentication.kubernetes.io/pod-name"]] == [pod]
            wait_for(lambda: "heard hello" in cluster.kubectl("-n", "shop", "logs", pod, "-c", "app").stdout, 20, "logs")
            connection.sendall(b"good-bye\n")
    cluster.kubectl("-n", "shop", "wait", "--for=condition=complete", "job/reach", "--timeout=60s", timeout=70)


def test_a_service_is_reached_from_the_host(cluster):
    with socket.create_connection((configuration.API_ADDRESS, 443), timeout=10):
        pass


def test_a_program_of_the_node_can_be_taken_away_and_brought_back(cluster):
    cluster.hold("kube-apiserver")
    ready = ["get", "--raw", "/readyz"]
    wait_for(lambda: cluster.kubectl(*ready, check=False).returncode != 0, 30, "the API server is away")
    cluster.release("kube-apiserver")
    wait_for(lambda: cluster.kubectl(*ready).stdout == "ok", 60, "the API server is back")


def test_a_second_cluster_is_refused_in_words(cluster, tmp_path):
    with pytest.raises(RuntimeError, match="make cluster-stop"):
        Cluster(tmp_path / "second").start()
    assert run(["ip", "link", "show", configuration.INTERFACE], check=False).returncode == 0
