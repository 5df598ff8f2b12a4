"""The client's view equals the API server's after any fault: lists and watches through a proxy that misbehaves."""

import json
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from support import paths
from support.certificates import Authority
from support.fault_proxy import FaultProxy
from support.kube_apiserver import KubeApiserver
from support.pages import get_json
from support.ports import free_port
from support.process import Process
from support.waiting import wait_for

MAPS = "/api/v1/namespaces/default/configmaps"


def config_map(name: str, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


class Mirror:
    """kube-mirror of the ConfigMaps of `default`, through a FaultProxy."""

    def __init__(self, testbed, api, name, *arguments, kubeconfig=None):
        self.api = api
        self.proxy = FaultProxy("127.0.0.1", api.port)
        self.directory = testbed.directory
        self.name = name
        self.arguments = list(arguments)
        self.source = kubeconfig or api.kubeconfig
        self.http = f"127.0.0.1:{free_port()}"
        self.process = Process(name, testbed.directory / f"{name}.log")

    def __enter__(self):
        self.proxy.__enter__()
        config = json.loads(self.source.read_text())
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{self.proxy.port}"
        own = self.directory / f"{self.name}.kubeconfig"
        own.write_text(json.dumps(config))
        self.process.start([paths.binary("kube-mirror"), "--kubeconfig", own, "--listen", self.http, "--plural",
                            "configmaps", "--namespace", "default", *self.arguments])
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.proxy.__exit__()

    def view(self) -> dict:
        return get_json(self.http, "/view")

    def equal(self, timeout: float = 20) -> dict:
        """Waits until both views are the server's; returns the mirror's."""
        def same():
            truth = {f"default/{name}": version for name, version in self.api.versions(MAPS).items()}
            view = self.view()
            assert view["objects"] == truth, (view["error"], view["lists"], len(view["objects"]), len(truth))
            assert view["changes"] == truth
            return view
        try:
            return wait_for(same, timeout, "both views are the same", interval=0.05)
        except TimeoutError as error:
            raise AssertionError(f"{str(error)[-1500:]}\n{self.process.log()[-3000:]}") from None


@pytest.fixture(scope="module")
def api(testbed):
    # A watch over HTTP/1.1 would hold up an orderly end for a minute.
    with KubeApiserver(testbed.directory / "api", arguments=["--shutdown-watch-termination-grace-period=1s"]) as server:
        yield server


@pytest.fixture(autouse=True)
def clean(request):
    api = request.getfixturevalue("api")
    api.delete(MAPS)
    for i in range(3):
        api.request("POST", MAPS, config_map(f"first-{i}"))


def change(api, tag: str):
    """One made, one changed, one gone."""
    api.request("POST", MAPS, config_map(f"made-{tag}"))
    api.patch(f"{MAPS}/first-1", {"data": {"tag": tag}})
    api.request("POST", MAPS, config_map(f"gone-{tag}"))
    api.delete(f"{MAPS}/gone-{tag}")


def test_streaming_list_and_what_follows(testbed, api):
    with Mirror(testbed, api, "streaming") as mirror:
        assert mirror.equal()["watches"] == 1  # the list came in the watch
        change(api, "a")
        assert mirror.equal()["failures"] == 0


def test_metadata_only(testbed, api):
    with Mirror(testbed, api, "metadata", "--metadata-only") as mirror:
        mirror.equal()
        change(api, "b")
        mirror.equal()
    with Mirror(testbed, api, "metadata-pages", "--metadata-only", "--pages-only") as mirror:
        mirror.equal()
        change(api, "c")
        mirror.equal()


def test_cut_connections(testbed, api):
    with Mirror(testbed, api, "cut") as mirror:
        mirror.equal()
        for i in range(3):
            mirror.proxy.refuse()
            change(api, f"away-{i}")
            api.delete(f"{MAPS}/made-away-{i}")
            mirror.proxy.refuse(False)
            change(api, f"back-{i}")
            mirror.equal()
        assert mirror.view()["lists"] == 1  # it went on from where it was


def test_half_open_connection(testbed, api):
    with Mirror(testbed, api, "half", "--watch-ms", "1000", "--overdue-ms", "500") as mirror:
        mirror.equal()
        mirror.proxy.freeze()
        change(api, "frozen")
        mirror.equal()


def test_restarts_in_order_and_by_force(testbed, api):
    with Mirror(testbed, api, "restart") as mirror:
        mirror.equal()
        for number in (signal.SIGTERM, signal.SIGKILL):
            api.restart(number)
            change(api, f"restart-{int(number)}")
            mirror.equal(40)


def test_too_many_requests(testbed):
    """A server that is busy with others says 429 and when to come again."""
    arguments = ["--enable-priority-and-fairness=false", "--max-requests-inflight=1"]
    with KubeApiserver(testbed.directory / "busy", arguments=arguments) as busy, ThreadPoolExecutor(3) as pool:
        busy.kubectl("create", "clusterrolebinding", "other", "--clusterrole=cluster-admin",
                     "--serviceaccount=default:default")
        busy.kubectl("create", "clusterrolebinding", "mirror", "--clusterrole=cluster-admin", "--user=mirror")
        fill(busy, 20, size=500_000)  # so that one list takes its time
        token, stop = busy.account_token("default"), threading.Event()

        def other():
            while not stop.is_set():
                busy.answer("GET", MAPS, token=token)  # its size is what counts, and nobody reads it
        others = [pool.submit(other) for _ in range(3)]
        try:
            with Mirror(testbed, busy, "busy", "--pages-only", "--page-size", "1",
                        kubeconfig=busy.kubeconfig_for("mirror.kubeconfig", user="mirror")) as mirror:
                wait_for(lambda: mirror.view()["throttled"] > 0, 60, "the mirror is refused")
                stop.set()
                mirror.equal(60)
        finally:
            stop.set()
            for each in others:
                each.result()


def test_token_rotation(testbed, api):
    api.kubectl("create", "clusterrolebinding", "rotating", "--clusterrole=cluster-admin",
                "--serviceaccount=default:default")
    file = testbed.directory / "token"
    pod = api.request("POST", "/api/v1/namespaces/default/pods", {"metadata": {"name": "holder"}, "spec": {
        "containers": [{"name": "c", "image": "i"}]}})
    file.write_text(api.account_token("default", pod=pod))
    with Mirror(testbed, api, "token", kubeconfig=api.kubeconfig_for("token.kubeconfig", token_file=file)) as mirror:
        mirror.equal()
        api.request("DELETE", "/api/v1/namespaces/default/pods/holder", {"gracePeriodSeconds": 0})

        def refused():
            mirror.proxy.cut()
            return "401" in mirror.view()["error"]
        wait_for(refused, 40, "the first token is not taken any more", interval=0.5)
        change(api, "rotated")
        file.write_text(api.account_token("default"))
        mirror.equal()


def test_large_objects(testbed, api):
    """As large as etcd takes one, 1.5 MB. More than a page may have: it is asked for again, smaller."""
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "uid": "0", "name": "z" * 220_000}
    large = {"metadata": {"annotations": {"a": "x" * 250_000}, "ownerReferences": [owner]}, "data": {"d": "y" * 1_040_000}}
    with Mirror(testbed, api, "large") as mirror, Mirror(testbed, api, "large-pages", "--pages-only") as pages:
        mirror.equal()
        api.make(MAPS, [{**config_map("", **large["data"]), "metadata": {"name": f"large-{i}", **large["metadata"]}}
                        for i in range(30)])
        mirror.equal(40)
        pages.equal(40)
        with Mirror(testbed, api, "large-list", "--pages-only") as listed:
            assert listed.equal(40)["failures"] == 0


def test_thousands_of_objects(testbed, api):
    with Mirror(testbed, api, "thousands") as mirror:
        api.make(MAPS, [config_map(f"many-{i}", number=str(i)) for i in range(5000)])
        mirror.equal(60)
        mirror.proxy.refuse()
        api.request("DELETE", f"{MAPS}/many-1")
        mirror.proxy.refuse(False)
        mirror.equal()
        with Mirror(testbed, api, "thousands-pages", "--pages-only") as pages:
            assert pages.equal()["lists"] == 1


def test_certificate_authority_rotation(testbed, api):
    new = Authority(testbed.directory / "new-ca", "new CA")
    ca = testbed.directory / "rotating-ca.pem"
    ca.write_bytes(api.ca.read_bytes())
    kubeconfig = testbed.directory / "ca.kubeconfig"
    config = json.loads(api.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["certificate-authority"] = str(ca)
    kubeconfig.write_text(json.dumps(config))
    old = api.ca
    with Mirror(testbed, api, "authority", kubeconfig=kubeconfig) as mirror:
        mirror.equal()
        api.replace_serving_certificate(new)
        api.stop_apiserver()
        api.ca = new.certificate
        api.start_apiserver()
        change(api, "new-ca")
        wait_for(lambda: "certificate verify failed" in mirror.view()["error"], 20, "the new CA is not trusted")
        ca.write_bytes(old.read_bytes() + new.certificate.read_bytes())
        mirror.equal()


@pytest.fixture(scope="module")
def plain_api(testbed):
    """etcd 3.4 and no cache of watches: no streaming lists, and history is what etcd has."""
    with KubeApiserver(testbed.directory / "plain", etcd="3.4", arguments=["--watch-cache=false"]) as server:
        server.request("POST", MAPS, config_map("first-1"))
        yield server


def fill(api, count, size=0):
    data = {"d": "x" * size} if size else {}
    api.make(MAPS, [config_map(f"filled-{i}", **data) for i in range(count)])


def test_without_streaming_lists_and_with_compaction(testbed, plain_api):
    with Mirror(testbed, plain_api, "fallback") as mirror:
        mirror.equal()
        change(plain_api, "fallback")
        mirror.equal()
        # The watch is away, and what it would go on from is forgotten: 410 in the stream.
        mirror.proxy.refuse()
        change(plain_api, "forgotten")
        plain_api.compact()
        change(plain_api, "after")
        mirror.proxy.refuse(False)
        view = mirror.equal()
        assert view["expired"] >= 1 and view["lists"] == 2


def test_compaction_between_pages(testbed, plain_api):
    """410 as a status: the token for the next page has expired."""
    fill(plain_api, 60)
    stop = threading.Event()

    def busy():
        count = 0
        while not stop.is_set():
            plain_api.patch(f"{MAPS}/filled-1", {"data": {"count": str(count)}})
            plain_api.compact()
            count += 1
    writer = threading.Thread(target=busy)
    writer.start()
    try:
        with Mirror(testbed, plain_api, "pages", "--pages-only", "--page-size", "1") as mirror:
            mirror.proxy.delay = 0.02
            wait_for(lambda: mirror.view()["synced"], 40, "a list is complete all the same")
            stop.set()
            writer.join()
            assert mirror.equal()["expired"] >= 1
    finally:
        stop.set()
        writer.join()
