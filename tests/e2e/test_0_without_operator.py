"""The sidecar as a native one that somebody wrote into a pod by hand, on manifests from a Secret: no operator at all."""

from cluster import images
from support import manifests
from support.manifests import to_yaml
from support.waiting import wait_for

_MANIFESTS = "/etc/dbproxy/manifests"


def sidecar() -> dict:
    probe = {"httpGet": {"path": "/readyz", "port": 9930}, "periodSeconds": 1, "failureThreshold": 60}
    return {"name": "dbproxy", "image": images.DBPROXY, "imagePullPolicy": "Never", "restartPolicy": "Always",
            "args": ["--manifests", _MANIFESTS, "--admin", "0.0.0.0:9930"], "startupProbe": probe,
            "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": [{"name": "manifests", "mountPath": _MANIFESTS, "readOnly": True}]}


def written_by_hand(world, name: str, script: str, **spec) -> dict:
    pod = world.pod(name, script, proxy=None, **spec)
    pod["spec"]["initContainers"] = [sidecar()]
    pod["spec"]["volumes"] = [{"name": "manifests", "secret": {"secretName": "manifests"}}]
    pod["spec"]["containers"][0]["env"].append({"name": "PGHOST", "value": "127.0.0.1"})
    return pod


def apply_manifests(world, **pool):
    documents = [world.manifest(pool=pool), manifests.secret("orders-app", "app", "app-secret", world.namespace),
                 manifests.config_map("database-ca", {"ca.pem": world.database.authority.certificate.read_text()},
                                      world.namespace)]
    world.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "manifests", "namespace": world.namespace},
                 "stringData": {"all.yaml": "---\n".join(to_yaml(document) for document in documents)}})


def test_a_job_works_and_completes_and_its_sidecar_ends_after_it(bare):
    apply_manifests(bare)
    pod = written_by_hand(bare, "by-hand", "psql -XAtqc \"SELECT 'as ' || current_user\" && echo migrated",
                          restartPolicy="Never")
    del pod["metadata"]["name"], pod["metadata"]["namespace"]
    bare.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "by-hand", "namespace": bare.namespace},
                "spec": {"backoffLimit": 0, "template": pod}})
    bare.kubectl("wait", "-n", bare.namespace, "--for=condition=complete", "job/by-hand", "--timeout=60s")
    assert bare.kubectl("logs", "-n", bare.namespace, "job/by-hand", "-c", "app").stdout == "as app\nmigrated\n"


def test_an_application_that_ends_in_its_own_time_has_its_database_until_then(bare):
    """SIGTERM reaches the application first; the sidecar serves until that has ended, and then drains at once."""
    apply_manifests(bare)
    server = bare.database.writer
    server.sql("CREATE TABLE ending (step int); GRANT ALL ON ending TO app", "orders")
    script = """
        trap 'ending=1' TERM
        psql -XAtqc 'INSERT INTO ending VALUES (0)'
        while [ -z "$ending" ]; do sleep 0.1; done
        for step in 1 2 3 4 5; do psql -XAtqc "INSERT INTO ending VALUES ($step)"; sleep 0.3; done"""
    bare.apply({"apiVersion": "v1", "kind": "Pod", **written_by_hand(bare, "ending", script)})
    bare.kubectl("wait", "-n", bare.namespace, "--for=condition=Ready", "pod/ending", "--timeout=60s")

    def steps() -> str:
        return server.sql("SELECT string_agg(step::text, ',' ORDER BY step) FROM ending", "orders")
    wait_for(lambda: steps() == "0", 30, "the application runs", interval=0.1)
    bare.kubectl("delete", "pod", "ending", "-n", bare.namespace, "--timeout=19s")  # the grace period is 20 s
    assert steps() == "0,1,2,3,4,5"


def test_prometheus_finds_the_page_by_the_pods_address(bare):
    bare.apply({"apiVersion": "v1", "kind": "Pod", **written_by_hand(bare, "page", "trap 'exit 0' TERM; sleep 1000 & wait")})
    bare.kubectl("wait", "-n", bare.namespace, "--for=condition=Ready", "pod/page", "--timeout=60s")
    assert bare.psql("page", "SELECT 1").stdout == "1\n"
    assert "dbproxy_build_info" in bare.metrics("page")
    bare.kubectl("delete", "pod", "page", "-n", bare.namespace, "--wait=false")
