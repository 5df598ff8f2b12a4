#!/usr/bin/env python3
"""The connection budget of a thousand sidecars: how fast a free slot comes, how fast all of them move, what idle costs.

A real dbproxy-operator on manifests, a real PostgreSQL that allows 3,000 connections, and bench_sidecars: simulated
sidecars with the ledger of real ones and their sense of what is idle, whose connections open and close in no time.
Prints a table against the goals and writes build/bench/budget.json. What is measured by the clock depends on whatever
else runs on the machine: the load is printed too.
"""

import argparse
import os
import random
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[1:1] = [str(ROOT / "tests"), str(ROOT / "bench")]  # run.py is the one beside this
from harness.processes import cpu_ns  # noqa: E402
from report import add_arguments, finish, say  # noqa: E402
from run import identities  # noqa: E402
from support import paths  # noqa: E402
from support.fleet import Fleet, allow_files  # noqa: E402
from support.manifests import Manifests  # noqa: E402
from support.operator_process import Operator  # noqa: E402
from support.pages import get_json  # noqa: E402
from support.testbed import Testbed  # noqa: E402
from support.waiting import wait_for  # noqa: E402

GOALS = {"overshoot": 0, "grant_p99_ms": 5, "swing_s": 1, "steady_percent": 2}
SERVER = 3000  # connections that the database allows
SWINGING = 100


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sidecars", type=int, default=1000)
    parser.add_argument("--asks", type=int, default=2000)
    parser.add_argument("--swings", type=int, default=6)
    parser.add_argument("--steady-seconds", type=float, default=15)
    add_arguments(parser, ROOT / "build/bench/budget.json")
    return parser.parse_args()


class Demand:
    """What the simulated sidecars want and have. Each look checks that they have no more than the limit."""

    def __init__(self, fleet: Fleet, operator: Operator):
        self.http, self.size, self.operator = fleet.http, fleet.size, operator
        self.limit, self.overshoot = 0, 0

    def want(self, first: int, last: int, slots: int):
        get_json(self.http, f"/want?first={first}&last={last}&slots={slots}")

    def slots(self, first: int = 0, last: int | None = None) -> dict:
        if (first, last) != (0, None):
            self.slots()
        seen = get_json(self.http, f"/slots?first={first}&last={self.size if last is None else last}")
        if (first, last) == (0, None):
            self.overshoot = max(self.overshoot, seen["open"] - self.limit)
        return seen

    def forget(self):
        get_json(self.http, "/forget")

    def wait_open(self, wanted: int, first: int = 0, last: int | None = None, timeout: float = 60):
        wait_for(lambda: self.slots(first, last)["open"] == wanted, timeout, f"{wanted} connections are open",
                 interval=0.002)

    def wait_granted(self, wanted: int):
        wait_for(lambda: self.operator.metrics().sum("dbproxy_operator_slots_granted") == wanted, 60,
                 f"{wanted} connections are leased", interval=0.05)


def set_limit(manifests: Manifests, fleet: Fleet, demand: Demand, percent: int):
    demand.limit = max(demand.limit, SERVER * percent // 100)
    manifests.set_pool(maxConnectionsPercent=percent, connectionFloor=0)
    fleet.wait_in_force(percent)
    demand.limit = SERVER * percent // 100


def asks(demand: Demand, count: int) -> dict:
    """One sidecar after the other, at random, wants one more, and later not any more; how long each has waited."""
    demand.want(0, demand.size, 1)
    demand.wait_open(demand.size)
    for _ in range(2):  # each has had two before, so that its ceiling is known to suffice
        demand.want(0, demand.size, 2)
        demand.wait_open(min(2 * demand.size, demand.limit))
        demand.want(0, demand.size, 1)
        demand.wait_granted(demand.size)  # what is not used has gone back
    demand.forget()
    order, asking = list(range(demand.size)), []
    random.Random(1).shuffle(order)
    for number in range(count):  # by its next turn what it had has gone back
        one = order[number % demand.size]
        demand.want(one, one + 1, 2)
        asking.append(one)
        if len(asking) > min(100, demand.size // 4):
            last = asking.pop(0)
            demand.want(last, last + 1, 1)
        time.sleep(0.004)
    seen = wait_for(lambda: (now := demand.slots())["waits"] >= count * 0.9 and now, 30, "all have been served")
    waited = {name: at / 1e6 for name, at in seen["waited_ns"].items()}
    say(f"a free slot: half within {waited['p50']:.2f} ms, 99 % within {waited['p99']:.2f} ms, all within "
        f"{waited['last']:.1f} ms, of {seen['waits']}")
    return waited


def steady(demand: Demand, operator: Operator, seconds: float) -> float:
    """The operator's CPU, in percent of a core, while everybody wants more than there is and nothing changes."""
    demand.want(0, demand.size, 3)
    demand.wait_open(demand.limit)
    time.sleep(2)
    before = cpu_ns(operator.process.pid)
    time.sleep(seconds)
    busy = (cpu_ns(operator.process.pid) - before) / seconds / 1e7
    say(f"steady demand for more than there is: {busy:.2f} % of a core")
    return busy


def swing(demand: Demand, count: int) -> list[float]:
    """Seconds until all connections have moved from one half of the sidecars to the other."""
    half, took = SWINGING // 2, []
    demand.want(0, demand.size, 0)
    each = -(-demand.limit // half)
    demand.want(0, half, each)
    demand.wait_open(demand.limit, 0, half)
    for number in range(count):
        to = (half, SWINGING) if number % 2 == 0 else (0, half)
        of = (0, half) if number % 2 == 0 else (half, SWINGING)
        began = time.monotonic()
        demand.want(*of, 0)
        demand.want(*to, each)
        demand.wait_open(demand.limit, *to)
        took.append(time.monotonic() - began)
    say("a swing of all demand is settled after " + ", ".join(f"{each:.2f}" for each in took) + " s")
    return took


def measure(options):
    allow_files(options.sidecars + 2000)
    load_before = os.getloadavg()[0]
    with Testbed("bench") as testbed:
        cluster = testbed.cluster(version=15, replicas=0)
        cluster.writer.set(max_connections=SERVER)
        cluster.writer.restart()
        manifests = Manifests(testbed.subdirectory("manifests"))
        manifests.for_cluster(cluster, 15432, pool={"maxConnectionsPercent": 70, "connectionFloor": 0})
        operator = Operator(testbed.directory, manifests.directory, sidecars=(),
                            binary=paths.release_binary("dbproxy-operator"), extra=["--log-level", "warn"])
        sidecars = identities(operator, options.sidecars)
        with operator, Fleet(testbed.directory, operator.address, operator.authority, sidecars) as fleet:
            fleet.wait_in_force(70, 120)
            demand = Demand(fleet, operator)
            demand.limit = SERVER * 70 // 100
            waited = asks(demand, options.asks)
            busy = steady(demand, operator, options.steady_seconds)
            demand.want(0, demand.size, 0)
            set_limit(manifests, fleet, demand, 10)
            swings = swing(demand, options.swings)
            moved = operator.metrics().sum("dbproxy_operator_slots_moved_total")
    return {"sidecars": options.sidecars, "overshoot": demand.overshoot, "grant_p50_ms": waited["p50"],
            "grant_p99_ms": waited["p99"], "grant_last_ms": waited["last"], "steady_percent": busy,
            "swing_s": max(swings), "swings_s": swings, "moved": moved, "cores": len(os.sched_getaffinity(0)),
            "load_before": load_before, "load": os.getloadavg()[0]}


def main():
    options = arguments()
    result = measure(options)
    rows = [("connections beyond the limit, at any time", "overshoot", ""),
            ("from asking until a free slot is there, 99th percentile", "grant_p99_ms", "ms"),
            (f"all demand moves from half of {SWINGING} sidecars to the other half", "swing_s", "s"),
            ("operator's CPU, all wanting more than there is", "steady_percent", "% of a core")]
    return finish(result, GOALS, f"One budget of {result['sidecars']} sidecars", rows, options,
                  [f"| from asking until a free slot is there, half | {result['grant_p50_ms']:.1f} ms | |"])


if __name__ == "__main__":
    sys.exit(main())
