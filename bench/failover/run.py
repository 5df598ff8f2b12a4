#!/usr/bin/env python3
"""What a failover costs a client: from the end of the promotion to its first write that is acknowledged.

    run.py [--runs 20] [--engines postgres,mysql] [--only direct,pgbouncer,dbproxy,silent] [--docs docs] [--note TEXT]
           [--bin build/release/bin] [--keep FILE]

A writer and a reader, real servers; clients that are connected all along write every 5 ms; the writer is killed, after
a while the reader is promoted. A client that loses its connection or gets an error tries again every 10 ms. `direct`
knows both hosts and goes to the one that takes writes: libpq's target_session_attrs=read-write, and PyMySQL that asks
for read_only. PgBouncer knows no writers: at the end of the promotion, without a delay, its file is written anew with
the other host and it gets a RELOAD. `silent`: nobody dies, but the writer's packets vanish, in both directions and
without an answer, and the reader is promoted when the sidecar has noticed. Candidates take turns. With --docs the
tables and the picture there are written.
"""

import argparse
import contextlib
import datetime
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench")]

import for_mysql  # noqa: E402
import for_postgres  # noqa: E402
from client import Client  # noqa: E402
from harness import picture  # noqa: E402
from support.namespace import Namespace  # noqa: E402
from support.testbed import Testbed  # noqa: E402
from support.waiting import wait_for  # noqa: E402

CLIENTS = 8
AWAY = 2.0  # seconds from the writer's death to the promotion, as whoever decides about that takes some
ENGINES = {"postgres": for_postgres, "mysql": for_mysql}


@contextlib.contextmanager
def writing(connect, engine):
    """Clients, all of which have written already."""
    stopping = threading.Event()
    clients = [Client(connect, engine.ERRORS, stopping) for _ in range(CLIENTS)]
    try:
        wait_for(lambda: all(len(client.acknowledged) > 5 for client in clients), 30, "all clients write")
        yield clients
        stopping.set()
    finally:
        stopping.set()
        for client in clients:
            client.thread.join(60)


def outcome(clients, promoted: float) -> dict:
    waits = [next(at for at in client.acknowledged if at > promoted) - promoted for client in clients]
    return {"first": min(waits), "last": max(waits), "lost": sum(client.lost for client in clients),
            "errors": sum(client.seen for client in clients)}


def await_writes(clients, promoted: float):
    wait_for(lambda: all(client.acknowledged[-1] > promoted for client in clients), 120, "all write again")


def killed(bed, engine, name, directory, binaries) -> dict:
    with engine.cluster(directory, bed) as cluster, engine.CANDIDATES[name](directory, cluster, binaries) as (
            connect, told):
        old, new = cluster.writer, cluster.replicas[0]
        engine.prepare(cluster)
        with writing(connect, engine) as clients:
            old.kill()
            time.sleep(AWAY)
            new.promote()
            promoted = time.monotonic()
            told(new)
            cluster.note_writer(new)
            await_writes(clients, promoted)
        return outcome(clients, promoted)


def silent(bed, engine, directory, binaries) -> dict:
    with Namespace() as network, engine.outside(directory, bed, network) as cluster:
        engine.prepare(cluster)
        with engine.serve(directory, cluster, binaries, inside=network) as (connect, sidecar):
            old, new = cluster.writer, cluster.replicas[0]
            with writing(connect, engine) as clients:
                network.drop(old.port)
                dropped = time.monotonic()
                wait_for(lambda: "target is in doubt" in sidecar.log() or "target unavailable" in sidecar.log(), 60,
                         "it is noticed")
                noticed = time.monotonic() - dropped
                new.promote()
                promoted = time.monotonic()
                await_writes(clients, promoted)
            network.heal()
        return {"noticed": noticed, **outcome(clients, promoted)}


def one_run(bed, engine, name, number, binaries) -> dict:
    directory = bed.subdirectory(f"{engine.TITLE[:2].lower()}-{name}-{number}")
    if name == "silent":
        return silent(bed, engine, directory, binaries)
    return killed(bed, engine, name, directory, binaries)


def column(runs, name, most=False) -> str:
    values = [run[name] * 1000 for run in runs]
    return f"{max(values) if most else statistics.median(values):.0f} ms"


def table(results) -> list[str]:
    """The writer is killed. `results`: {engine: {candidate: runs}}."""
    lines = ["| | | runs | first client writes, median | slowest run | all clients write, median | slowest run | "
             "connections that clients lost, per run | errors that clients saw, per run |",
             "|---|---|---|---|---|---|---|---|---|"]
    for key, candidates in results.items():
        for name, runs in candidates.items():
            if name == "silent" or not runs:
                continue
            lines.append(f"| {ENGINES[key].TITLE} | {ENGINES[key].TITLES[name]} | {len(runs)} | {column(runs, 'first')} | "
                         f"{column(runs, 'first', True)} | {column(runs, 'last')} | {column(runs, 'last', True)} | "
                         f"{statistics.mean(run['lost'] for run in runs):.1f} | "
                         f"{statistics.mean(run['errors'] for run in runs):.1f} |")
    return lines


def silent_table(results) -> list[str]:
    lines = ["| | runs | noticed after, median | slowest run | all clients write after the promotion, median | slowest run | "
             "connections that clients lost, per run | errors that clients saw, per run |", "|---|---|---|---|---|---|---|---|"]
    for key, candidates in results.items():
        if runs := candidates.get("silent"):
            lines.append(f"| {ENGINES[key].TITLE} | {len(runs)} | {column(runs, 'noticed')} | "
                         f"{column(runs, 'noticed', True)} | {column(runs, 'last')} | {column(runs, 'last', True)} | "
                         f"{statistics.mean(run['lost'] for run in runs):.1f} | "
                         f"{statistics.mean(run['errors'] for run in runs):.1f} |")
    return lines


def write_docs(docs: Path, results, versions: str, note: str):
    def values(candidates, choose):
        return {name: choose(run["last"] for run in runs) * 1000 for name, runs in candidates.items() if name != "silent"}
    svg = picture.bars("After a failover", "From the end of the promotion until all clients write again; less is better",
                       "milliseconds", [(ENGINES[key].TITLE, [("median", values(candidates, statistics.median)),
                                                              ("slowest run", values(candidates, max))])
                                        for key, candidates in results.items()],
                       list(for_postgres.TITLES.items()))
    (docs / "failover.svg").write_text(svg)
    text = __doc__.split("\n\n", 2)[2].strip().replace("\n", " ")
    (docs / "failover.md").write_text("\n".join([
        "# Failover, measured", "",
        f"`bench/failover/run.py`, {datetime.date.today()}, {os.cpu_count()} shared cores; {versions}. {note}".strip(), "",
        text, "",
        f"{CLIENTS} clients, {AWAY:g} s between the writer's death and the promotion.", "",
        "![Until all clients write again](failover.svg)", "", "## The writer is killed", "", *table(results), "",
        "## The writer's packets vanish", "", *silent_table(results), ""]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--only", default="direct,pgbouncer,dbproxy,silent")
    parser.add_argument("--docs", type=Path)
    parser.add_argument("--note", default="", help="how it was measured, for the page")
    parser.add_argument("--bin", type=Path, default=ROOT / "build" / "release" / "bin")
    parser.add_argument("--keep", type=Path, help="a file that what was measured is kept in, and that is gone on with")
    options = parser.parse_args()
    engines = options.engines.split(",")
    results = {key: {name: [] for name in options.only.split(",") if name in (*ENGINES[key].CANDIDATES, "silent")}
               for key in engines}
    if options.keep and options.keep.exists():
        for key, candidates in json.loads(options.keep.read_text()).items():
            results[key].update(candidates)
    with Testbed("fo") as bed:
        for number in range(options.runs):
            for key, candidates in results.items():
                for name, runs in candidates.items():
                    if len(runs) > number:
                        continue
                    runs.append(one_run(bed, ENGINES[key], name, number, options.bin.resolve()))
                    print(f"{key} {name} {number}: {runs[-1]}", flush=True)
                    if options.keep:
                        options.keep.write_text(json.dumps(results))
    print("\n".join([*table(results), "", *silent_table(results)]))
    if options.docs:
        own = subprocess.run([options.bin / "dbproxy", "--version"], capture_output=True, text=True, check=True).stdout
        write_docs(options.docs, results,
                   ", ".join([*(each for key in engines for each in ENGINES[key].versions()), own.splitlines()[0].strip()]),
                   options.note)


if __name__ == "__main__":
    main()
