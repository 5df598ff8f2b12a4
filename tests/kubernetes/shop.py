"""What tests of the operator have: a namespace with one DBProxy, and the programs that were started for it."""

import psycopg

from support.kube_operator import NAMESPACE, PROXIES, KubeOperator, PodSidecar, make_pod
from support.manifests import config_map, db_proxy, secret
from support.ports import free_port
from support.postgres import PASSWORDS
from support.waiting import wait_for

PATH = PROXIES.format("shop") + "/orders"


class Shop:
    """The namespace `shop` with the DBProxy `orders`, and all that was started for one test."""

    def __init__(self, api, testbed, cluster):
        self.api, self.cluster = api, cluster
        self.directory = testbed.subdirectory(f"t{len(list(testbed.directory.iterdir()))}")
        self.programs = []
        self.port = free_port()

    def apply(self, **spec):
        self.api.apply(secret("orders-app", "app", PASSWORDS["app"]),
                       config_map("database-ca", {"ca.pem": self.cluster.authority.certificate.read_text()}),
                       db_proxy(self.cluster, self.port, **spec))

    def start(self, program, wait=True):
        self.programs.append(program)
        return program.start(wait)

    def operator(self, name="operator-1", wait=True, **options):
        return self.start(KubeOperator(self.directory, self.api, name, **options), wait)

    def sidecar(self, operator, name="web-1", pod=None, wait=True, **options):
        pod = pod or make_pod(self.api, name)
        return self.start(PodSidecar(self.directory, self.api, pod, operator, **options), wait)

    def select(self, sql="SELECT 42", **options):
        options = {"host": "127.0.0.1", "port": self.port, "user": "app", "password": PASSWORDS["app"],
                   "dbname": "orders", "connect_timeout": 10, **options}
        with psycopg.connect(**options) as connection:
            return connection.execute(sql).fetchone()[0]

    def direct(self):
        """A session of the user app that goes past every sidecar."""
        writer = self.cluster.writer
        return psycopg.connect(host=writer.host, port=writer.port, user="app", password=PASSWORDS["app"], dbname="orders")

    def status(self):
        return self.api.get(PATH).get("status", {})

    def condition(self, kind):
        found = [each for each in self.status().get("conditions", []) if each["type"] == kind]
        return (found[0]["status"], found[0]["reason"], found[0]["message"]) if found else (None, None, None)

    def wait_condition(self, kind, status, timeout=20):
        wait_for(lambda: self.condition(kind)[0] == status, timeout, f"{kind} is {status}")
        return self.condition(kind)

    def events(self, reason, namespace="shop"):
        items = self.api.get(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events")["items"]
        return [item for item in items if item["reason"] == reason]

    def close(self, failed):
        for program in reversed(self.programs):
            if failed:
                print(f"---- {program.name} ----\n{program.log()[-6000:]}")
                program.kill()
            else:
                program.stop()
        for path in (PROXIES.format("shop"), "/api/v1/namespaces/shop/pods?gracePeriodSeconds=0",
                     "/apis/events.k8s.io/v1/namespaces/shop/events", "/api/v1/namespaces/shop/secrets",
                     f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"):
            self.api.delete(path)
        wait_for(lambda: not self.api.get("/api/v1/namespaces/shop/pods")["items"], 20, "no pod is left")
