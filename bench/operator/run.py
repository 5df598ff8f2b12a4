#!/usr/bin/env python3
"""The operator under a crowd of sidecars: what a stream costs, how fast an edit is everywhere, a storm of reconnects.

A real dbproxy-operator on manifests, a real PostgreSQL behind it, and bench_sidecars: each simulated sidecar has a TLS
connection, a token and a stream of its own, and answers as a real one does. Prints a table against the goals and writes
build/bench/operator.json. Both programs share the machine's cores with whatever else runs: the load is printed too.
"""

import argparse
import json
import os
import secrets
import signal
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench")]
from harness.processes import cpu_ns, rss_bytes  # noqa: E402
from report import add_arguments, finish, say  # noqa: E402
from support import paths  # noqa: E402
from support.fleet import Fleet, allow_files  # noqa: E402
from support.manifests import Manifests  # noqa: E402
from support.operator_process import Operator  # noqa: E402
from support.pages import get  # noqa: E402
from support.testbed import Testbed  # noqa: E402
from support.waiting import wait_for  # noqa: E402

GOALS = {"memory_kb": 100, "edit_s": 2.0, "storm_s": 15.0, "page_ms": 1000, "page_percent": 1}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=5000)
    parser.add_argument("--page-streams", type=int, default=2000, help="sidecars while somebody looks at the live page")
    parser.add_argument("--edits", type=int, default=5)
    parser.add_argument("--storms", type=int, default=2, help="of a killed operator; one more of a stopped one")
    parser.add_argument("--idle-seconds", type=float, default=10)
    add_arguments(parser, ROOT / "build/bench/operator.json")
    return parser.parse_args()


def identities(operator, count):
    """(identity, token, proxies) for each, with the files that the operator looks tokens up in."""
    out = []
    (operator.state / "tokens/shop").mkdir(parents=True, exist_ok=True)
    for path in (operator.state, operator.state / "tokens", operator.state / "tokens/shop"):
        path.chmod(0o700)
    for number in range(count):
        identity, token = f"shop/web-{number}", secrets.token_hex(32)
        file = operator.token(identity)
        file.write_text(f"{token}\nshop/orders\n")
        file.chmod(0o600)
        out.append((identity, token, ["shop/orders"]))
    return out


def edits(manifests, fleet, operator, count):
    """Seconds from the file's replacement until the last sidecar has it; and the operator's CPU time of each."""
    slowest, cpu = [], []
    for mark in range(30, 30 + count):
        before, began = cpu_ns(operator.process.pid), time.monotonic_ns()
        manifests.set_pool(maxConnectionsPercent=mark)
        state = fleet.wait_in_force(mark)
        took = {name: (at - began) / 1e9 for name, at in state["in_force_at"].items()}
        slowest.append(took["last"])
        cpu.append((cpu_ns(operator.process.pid) - before) / 1e9)
        say(f"an edit is in force: half after {took['p50']:.2f} s, everywhere after {took['last']:.2f} s")
    return slowest, cpu


def busy(operator, seconds, work=lambda: None):
    """The operator's CPU in percent of a core, with `work` done as often as the live page asks: every two seconds."""
    before, began = cpu_ns(operator.process.pid), time.monotonic()
    while (left := seconds - (time.monotonic() - began)) > 0:
        work()
        time.sleep(min(2, left))
    return (cpu_ns(operator.process.pid) - before) / (time.monotonic() - began) / 1e7


def page(operator, count, seconds):
    """Milliseconds until the live page has what it shows, at most; and what looking at it costs the operator, in %."""
    slowest = size = 0

    def look():
        nonlocal slowest, size
        asked = time.monotonic()
        size = sum(len(get(operator.http, path)) for path in ("/", "/events"))
        slowest = max(slowest, (time.monotonic() - asked) * 1000)

    # What streams cost is no steady figure: it is taken before and after.
    before, watched, after = busy(operator, seconds), busy(operator, 2 * seconds, work=look), busy(operator, seconds)
    say(f"the live page of {count} sidecars: {slowest:.0f} ms and {size >> 10} KB at most; {watched:.1f} % of a core, "
        f"{before:.1f} before it and {after:.1f} after")
    return slowest, max(0.0, watched - (before + after) / 2)


def storm(fleet, operator, number):
    """Seconds from the start of the new operator until it has taken the last stream."""
    operator.process.stop(number)
    wait_for(lambda: fleet.state()["up"] == 0, 20, "all streams have ended")
    began, before = time.monotonic_ns(), fleet.state()["attempts"]
    operator.start(wait=False)
    state = fleet.wait_up(120)
    took = (state["up_at"]["last"] - began) / 1e9
    say(f"{signal.Signals(number).name}: half of {fleet.size} are back after "
        f"{(state['up_at']['p50'] - began) / 1e9:.1f} s, all after {took:.1f} s, "
        f"{state['attempts'] - before} attempts, {cpu_ns(operator.process.pid) / 1e9:.1f} s of the operator's CPU")
    return took


def measure(options):
    allow_files(options.streams + 2000)
    with Testbed("bench") as testbed:
        cluster = testbed.cluster(version=15, replicas=0)
        manifests = Manifests(testbed.subdirectory("manifests"))
        manifests.for_cluster(cluster, 15432)
        operator = Operator(testbed.directory, manifests.directory, sidecars=(),
                            binary=paths.release_binary("dbproxy-operator"), extra=["--log-level", "warn"])
        sidecars = identities(operator, max(options.streams, options.page_streams))
        with operator, Fleet(testbed.directory, operator.address, operator.authority,
                             sidecars[:options.page_streams]) as fleet:
            fleet.wait_in_force(20, 120)
            time.sleep(3)
            page_ms, page_percent = page(operator, options.page_streams, options.idle_seconds)
        with operator:
            time.sleep(2)
            empty = rss_bytes(operator.process.pid)
            began = time.monotonic_ns()
            with Fleet(testbed.directory, operator.address, operator.authority, sidecars[:options.streams]) as fleet:
                state = fleet.wait_in_force(20, 120)
                first = (state["in_force_at"]["last"] - began) / 1e9
                time.sleep(3)  # what connecting took is given back
                full = rss_bytes(operator.process.pid)
                each = (full - empty) / options.streams / 1024
                say(f"{options.streams} streams after {first:.1f} s: {empty >> 20} MB, then {full >> 20} MB, "
                    f"{each:.1f} KB each")
                idle = busy(operator, options.idle_seconds)
                say(f"idle, with pings in both directions: {idle:.1f} % of a core")
                slowest, cpu = edits(manifests, fleet, operator, options.edits)
                after = (rss_bytes(operator.process.pid) - empty) / options.streams / 1024
                storms = [storm(fleet, operator, signal.SIGKILL) for _ in range(options.storms)]
                storms.append(storm(fleet, operator, signal.SIGTERM))
    return {"streams": options.streams, "empty_mb": empty / 2**20, "full_mb": full / 2**20,
            "memory_kb": max(each, after), "first_s": first, "idle_percent": idle, "page_ms": page_ms,
            "page_percent": page_percent, "edit_s": max(slowest),
            "edits_s": slowest, "edit_cpu_s": max(cpu), "storm_s": max(storms), "storms_s": storms,
            "cores": len(os.sched_getaffinity(0)), "load": os.getloadavg()[0]}


def main():
    options = arguments()
    load = os.getloadavg()[0]
    result = {**measure(options), "load_before": load}
    rows = [("operator's memory for each stream", "memory_kb", "KB"),
            (f"live page of {options.page_streams} sidecars", "page_ms", "ms"),
            ("CPU for somebody who looks at it", "page_percent", "% of a core"),
            (f"an edit is in force in all {options.streams}", "edit_s", "s"),
            (f"storm of {options.streams} reconnects ends, from the operator's start", "storm_s", "s")]
    return finish(result, GOALS, f"{options.streams} streams", rows, options,
                  [f"| CPU with all streams idle | {result['idle_percent']:.1f} % of a core | |"])


if __name__ == "__main__":
    sys.exit(main())
