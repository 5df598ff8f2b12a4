#!/usr/bin/env python3
"""Side by side, in one run: the database itself, a bare relay (the floor), HAProxy, PgBouncer and dbproxy.

Writes build/bench/results.md, .svg, .json (and .png where a converter is installed). Python's standard library only.
"""

import argparse
import datetime
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import candidates, database, measure, memory, processes, report  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round, smaller crowds: about a minute")
    parser.add_argument("--repeats", type=int, help="rounds per cell (default 3, quick 1)")
    parser.add_argument("--seconds", type=float, help="measured seconds per run (default 3, quick 1)")
    parser.add_argument("--modes", default=",".join(candidates.MODES), help="of simple,extended,prepared")
    parser.add_argument("--clients", default="1,16,64")
    parser.add_argument("--only", default="", help="these candidates and the relay, comma-separated")
    parser.add_argument("--scale", type=int, help="pgbench's (default 10, quick 1)")
    parser.add_argument("--no-memory", action="store_true", help="leave the memory rows out")
    parser.add_argument("--release", default=os.path.join(ROOT, "build/release/bin"), help="where the binaries are")
    parser.add_argument("--out", default=os.path.join(ROOT, "build/bench"))
    parser.add_argument("--keep", action="store_true", help="keep the temporary directory with its logs")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a goal is missed")
    parser.add_argument("--write-docs", action="store_true",
                        help="write docs/benchmarks.md from the last results and measure nothing")
    options = parser.parse_args()
    options.repeats = options.repeats or (1 if options.quick else 3)
    options.seconds = options.seconds or (1.0 if options.quick else 3.0)
    options.scale = options.scale or (1 if options.quick else 10)
    return options


def progress(text):
    print(f"  {text}", flush=True)


def machine():
    cores = len(os.sched_getaffinity(0))
    return f"{cores} shared core{'s' if cores > 1 else ''}"


def measure_all(options):
    limit = processes.raise_file_limit()
    with processes.Workspace(keep=options.keep) as workspace:
        progress(f"PostgreSQL with scale {options.scale} in {workspace.path}")
        server = database.Database(workspace, options.scale)
        started = candidates.start_all(workspace, server.port, options.release, only=options.only.split(",")
                                       if options.only else ())
        for candidate in started:
            progress(f"{candidate.title} {candidate.version}: " + (candidate.absent or f"port {candidate.port}"))
        modes, clients = options.modes.split(","), [int(count) for count in options.clients.split(",")]
        results = measure.matrix(workspace, started, modes, clients, options.repeats, options.seconds,
                                 0.3 if options.quick else 0.7, progress)
        crowds = {}
        if not options.no_memory:
            idle, crowd = (200, 500) if options.quick else (2000, min(5000, limit - 500))
            for candidate in started:
                if candidate.pools:
                    candidates.start(candidate, workspace, server.port, options.release)
                    crowds[candidate.name] = memory.measure(workspace, candidate, idle, crowd,
                                                            50 if options.quick else 200, 3, progress)
        versions = ", ".join(f"{name} {version}" for name, version in
                             [("PostgreSQL", database.version_of([f"{server.bin}/postgres", "--version"])),
                              *((c.title.split(",")[0], c.version) for c in started if c.version and c.process)])
        return {"date": datetime.date.today().isoformat(), "machine": machine(), "versions": versions,
                "command": "make bench" + (" (quick)" if options.quick else ""), "repeats": options.repeats,
                "seconds": options.seconds, "scale": options.scale, "pool": candidates.POOL_SIZE, "modes": modes,
                "clients": clients, "candidates": [(c.name, c.title) for c in started], "results": results,
                "memory": crowds}


def main():
    options = arguments()
    saved = os.path.join(options.out, "results.json")
    if options.write_docs:
        if not os.path.exists(saved):
            raise processes.BenchError("there are no results yet: run `make bench` first")
        os.makedirs(os.path.join(ROOT, "docs"), exist_ok=True)
        for path in report.write(report.load(saved), os.path.join(ROOT, "docs"), "benchmarks",
                                 with_png=False):
            print(os.path.relpath(path, ROOT))
        return 0
    run = measure_all(options)
    os.makedirs(options.out, exist_ok=True)
    report.save(run, saved)
    for line in report.terminal(run):
        print(line)
    print()
    for path in report.write(run, options.out, "results"):
        print(path)
    return 1 if options.strict and any(ok is False for _, _, ok in report.goals(run)) else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except processes.BenchError as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
