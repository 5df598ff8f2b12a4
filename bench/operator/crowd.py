#!/usr/bin/env python3
"""The operator in a full cluster: 2,000 DBProxies and 5,000 pods on a real kube-apiserver, and edits in between.

The pods are objects without a kubelet behind them. One DBProxy has a real PostgreSQL and simulated sidecars, whose
configuration is edited; the targets of all others do not answer. Prints a table against the goals and writes
build/bench/crowd.json. CPU is counted in the operator's own time, which other load on the machine does not change;
what is measured by the clock does change with it, so the load is printed.
"""

import argparse
import http.client
import json
import os
import ssl
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench")]
from harness.processes import cpu_ns, rss_bytes  # noqa: E402
from report import add_arguments, finish, say  # noqa: E402
from support import paths  # noqa: E402
from support.fleet import Fleet, allow_files  # noqa: E402
from support.kube_apiserver import KubeApiserver  # noqa: E402
from support.kube_operator import PROXIES, KubeOperator, install_rights, make_pod  # noqa: E402
from support.manifests import config_map, db_proxy, secret  # noqa: E402
from support.postgres import PASSWORDS  # noqa: E402
from support.testbed import Testbed  # noqa: E402
from support.waiting import wait_for  # noqa: E402

GOALS = {"rss_mb": 400, "edit_p99_ms": 300, "idle_percent": 5}
NAMESPACES = 20
WRITES = "dbproxy_operator_status_writes_total"
PERCENT = "/spec/targetGroups/0/connectionPool/maxConnectionsPercent"
_own = threading.local()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proxies", type=int, default=2000)
    parser.add_argument("--pods", type=int, default=5000)
    parser.add_argument("--sidecars", type=int, default=20)
    parser.add_argument("--edits", type=int, default=30)
    parser.add_argument("--idle-seconds", type=float, default=20)
    parser.add_argument("--settled-seconds", type=float, default=180, help="since the operator's start")
    add_arguments(parser, ROOT / "build/bench/crowd.json")
    return parser.parse_args()


def post(api, path, body):
    """On a connection that each thread keeps: thousands of them follow."""
    if not hasattr(_own, "connection"):
        _own.connection = http.client.HTTPSConnection(
            "127.0.0.1", api.port, context=ssl.create_default_context(cafile=str(api.ca)), timeout=120)
    _own.connection.request("POST", path, json.dumps(body), {
        "Authorization": f"Bearer {api.admin_token}", "Content-Type": "application/json"})
    answer = _own.connection.getresponse()
    text = answer.read()
    if answer.status > 299:
        raise RuntimeError(f"{path}: {answer.status} {text[:300]}")


def crowd_proxy(number, namespace):
    return {"apiVersion": "dbproxy.io/v1alpha1", "kind": "DBProxy",
            "metadata": {"name": f"proxy-{number}", "namespace": namespace},
            "spec": {"engineFamily": "POSTGRESQL", "requireTLS": False, "auth": [{"secretRef": {"name": "app"}}],
                     "targetGroups": [{"name": "default", "dbCluster": {
                         "endpoint": "127.0.0.1", "port": 9, "tls": {"mode": "disable"}}}]}}


def crowd_pod(number, namespace, proxy):
    return {"metadata": {"name": f"pod-{number}", "labels": {"dbproxy.io/inject": proxy, "app": "crowd"}}, "spec": {
        "initContainers": [{"name": "dbproxy", "image": "dbproxy", "restartPolicy": "Always",
                            "args": ["--identity=$(POD_NAMESPACE)/$(POD_NAME)", f"--proxy={namespace}/{proxy}"]}],
        "containers": [{"name": "app", "image": "app", "env": [{"name": "PGHOST", "value": "127.0.0.1"}]}]}}


def fill(api, options):
    for number in range(NAMESPACES):
        api.namespace(f"crowd-{number}")
        api.request("POST", f"/api/v1/namespaces/crowd-{number}/secrets", {
            "metadata": {"name": "app"}, "stringData": {"username": "app", "password": "none"}})

    def proxy(number):
        namespace = f"crowd-{number % NAMESPACES}"
        post(api, PROXIES.format(namespace), crowd_proxy(number, namespace))

    def pod(number):
        place = number % min(NAMESPACES, options.proxies)
        namespace = f"crowd-{place}"
        post(api, f"/api/v1/namespaces/{namespace}/pods", crowd_pod(number, namespace, f"proxy-{place}"))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(proxy, range(options.proxies)))
        say(f"{options.proxies} DBProxies are made")
        list(pool.map(pod, range(options.pods)))
        say(f"{options.pods} pods are made")


def edits(api, fleet, count):
    """Milliseconds from the request until each sidecar has it, all together, sorted."""
    took = []
    for mark in range(30, 30 + count):
        began = time.monotonic_ns()
        api.patch(PROXIES.format("shop") + "/orders", [{"op": "replace", "path": PERCENT, "value": mark}], "json")
        at = fleet.wait_in_force(mark)["in_force_at"]
        took += [(at[name] - began) / 1e6 for name in ("p50", "last")]
    return sorted(took)


def quiet(operator, seconds=5):
    """Until no status was written for so long: what the start has to say has been said."""
    seen = {"writes": -1.0, "since": 0.0}

    def unchanged():
        writes = operator.metrics().sum(WRITES)
        if writes != seen["writes"]:
            seen.update(writes=writes, since=time.monotonic())
        return time.monotonic() - seen["since"] > seconds
    wait_for(unchanged, 600, "no status is written any more", interval=0.5)


def idle_for(operator, seconds):
    """How much of a core it takes in per cent, and how many statuses it writes."""
    writes, before = operator.metrics().sum(WRITES), cpu_ns(operator.process.pid)
    time.sleep(seconds)
    return (cpu_ns(operator.process.pid) - before) / seconds / 1e7, operator.metrics().sum(WRITES) - writes


def measure(options):
    allow_files(10_000)
    with Testbed("bench") as testbed, KubeApiserver(testbed.subdirectory("api")) as api:
        api.apply(*sorted((ROOT / "crds").glob("*.yaml")))
        wait_for(lambda: len(api.get("/apis/dbproxy.io/v1alpha1")["resources"]) >= 4, 60, "the resources are served")
        api.namespace("shop")
        install_rights(api)
        cluster = testbed.cluster(version=15, replicas=0)
        api.apply(secret("orders-app", "app", PASSWORDS["app"]), db_proxy(cluster, 5432),
                  config_map("database-ca", {"ca.pem": cluster.authority.certificate.read_text()}))
        pods = []
        for number in range(options.sidecars):
            pod = make_pod(api, f"web-{number}")
            token = api.account_token("shop", audience="dbproxy-operator", pod=pod)
            pods.append((f"shop/web-{number}", token, ["shop/orders"]))
        fill(api, options)
        operator = KubeOperator(testbed.directory, api, binary=paths.release_binary("dbproxy-operator"))
        began = time.monotonic()
        operator.start(wait=False)
        operator.wait_ready(300)
        ready, cpu = time.monotonic() - began, cpu_ns(operator.process.pid) / 1e9
        say(f"ready after {ready:.1f} s, {cpu:.1f} s of CPU")
        bundle = testbed.directory / "ca.pem"
        wait_for(lambda: bundle.write_text(
            api.get("/api/v1/namespaces/shop/configmaps/dbproxy-operator-ca")["data"]["ca.pem"]), 120, "the CA")
        wait_for(lambda: operator.metrics().sum(WRITES) > options.proxies, 600, "every status is written", interval=0.5)
        quiet(operator)
        say(f"every status is written after {time.monotonic() - began:.1f} s")
        with Fleet(testbed.directory, operator.address, bundle, pods) as fleet:
            fleet.wait_in_force(20, 120)
            before = cpu_ns(operator.process.pid)
            took = edits(api, fleet, options.edits)
            each = (cpu_ns(operator.process.pid) - before) / options.edits / 1e6
            p99 = took[int(0.99 * (len(took) - 1))]
            say(f"an edit is in force after {took[len(took) // 2]:.0f} ms, 99th percentile {p99:.0f} ms, "
                f"{each:.0f} ms of CPU")
            quiet(operator)
            first, _ = idle_for(operator, options.idle_seconds)
            say(f"idle at first: {first:.1f} % of a core")
            # Targets that do not answer, and DBProxies without a sidecar, are asked ever more seldom.
            time.sleep(max(0.0, began + options.settled_seconds - time.monotonic()))
            idle, writes = idle_for(operator, options.idle_seconds)
            rss = rss_bytes(operator.process.pid) / 2**20
            say(f"idle: {idle:.1f} % of a core, {writes:.0f} status writes; {rss:.0f} MB")
        operator.kill()
    return {"proxies": options.proxies, "pods": options.pods, "ready_s": ready, "ready_cpu_s": cpu,
            "edit_p50_ms": took[len(took) // 2], "edit_p99_ms": p99, "edit_cpu_ms": each, "idle_percent": idle,
            "idle_first_percent": first, "idle_writes": writes, "rss_mb": rss,
            "cores": len(os.sched_getaffinity(0)), "load": os.getloadavg()[0]}


def main():
    options = arguments()
    load = os.getloadavg()[0]
    result = {**measure(options), "load_before": load}
    rows = [("operator's memory", "rss_mb", "MB"), ("an edit reaches a sidecar, 99th percentile", "edit_p99_ms", "ms"),
            ("CPU while nothing changes, of a core", "idle_percent", "%")]
    return finish(result, GOALS, f"{result['proxies']} DBProxies, {result['pods']} pods", rows, options,
                  [f"| the same within two minutes of its start | {result['idle_first_percent']:.1f} % | |",
                   f"| CPU for an edit | {result['edit_cpu_ms']:.0f} ms | |",
                   f"| it is ready, with all of them read | {result['ready_s']:.1f} s | |"])


if __name__ == "__main__":
    sys.exit(main())
