#!/usr/bin/env python3
"""The same scripts on the database itself and through the proxy: every answer has to be the same.

  run.py                      the hand-written cases, then a minute of generated ones
  run.py --seconds 3600       for as long as you like; --seed N begins where a failure said it was
  run.py --case NAME          one of the hand-written; --file F plays a script from a file

  run.py --native build/quick/bin/differential_player --steps 10000000 --servers 17
                              many scripts at once, for as many steps: hours, where it would be days (make differential).
                              SIGTERM ends it

A difference is shrunk and printed as a script that can go into cases/.
"""

import argparse
import itertools
import os
import signal
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
from generator import Generator  # noqa: E402
from native import SETTINGS, NativePlayer  # noqa: E402
from player import Player  # noqa: E402
from script import cases, parse, to_text  # noqa: E402
from shrink import shrink  # noqa: E402
from support import postgres  # noqa: E402
from support.paths import absolute  # noqa: E402
from support.testbed import Testbed  # noqa: E402


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="of generated scripts, in all (default 60)")
    parser.add_argument("--seed", type=int, default=None, help="of the first generated script (default: the clock)")
    parser.add_argument("--count", type=int, default=None, help="generated scripts instead of seconds")
    parser.add_argument("--servers", default="15,17,18", help="versions of PostgreSQL")
    parser.add_argument("--case", default="", help="play only hand-written cases whose name has this in it")
    parser.add_argument("--file", type=Path, help="play only this script")
    parser.add_argument("--keep-going", action="store_true", help="go on after a difference")
    parser.add_argument("--binary", type=absolute, help="of the sidecar (default: as DBPROXY_BIN says)")
    parser.add_argument("--native", type=absolute, help="play generated scripts only, by this program")
    parser.add_argument("--steps", type=int, default=None, help="with --native: so many, instead of seconds")
    parser.add_argument("--lanes", type=int, default=6, help="with --native: scripts at once (default 6)")
    return parser.parse_args()


def all_cases() -> dict:
    found = {}
    for path in sorted((HERE / "cases").glob("*.script")):
        for name, steps in cases(path.read_text()).items():
            found[f"{path.stem}: {name}"] = steps
    return found


def report(title: str, player: Player, steps, difference, small: bool):
    print(f"DIFFERENT on PostgreSQL {player.cluster.version}: {title}")
    if small:
        steps = shrink(steps, player.play)
        difference = player.play(steps) or difference
    print(f"{difference}\n  the script:\n{to_text(steps)}\n", flush=True)


def generated(player: Player, options, seconds: float, seed: int) -> tuple[int, int, int]:
    """(scripts, differences, next seed)"""
    until, count, different = time.monotonic() + seconds, 0, 0
    while (count < options.count) if options.count else (time.monotonic() < until):
        steps = Generator(seed).script()
        difference = player.play(steps)
        count += 1
        if difference:
            different += 1
            report(f"--seed {seed} --count 1", player, steps, difference, small=True)
            if not options.keep_going:
                return count, different, seed + 1
        seed += 1
    return count, different, seed


def natively(bed: Testbed, version: int, options, seed: int) -> int:
    """The number of scripts that differ; with --count, that differ again when they are played alone."""
    cluster = bed.cluster(version=version, settings=SETTINGS)
    until = time.monotonic() + options.seconds
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())

    def goes_on(result):
        if ended.is_set():
            return False
        if result.different and not options.keep_going:
            return False
        if options.steps:
            return result.steps < options.steps
        return bool(options.count) or time.monotonic() < until

    def tell(line):
        print(f"PostgreSQL {version}: {line}", flush=True)

    with NativePlayer(cluster, bed.subdirectory(f"n{version}"), options.native, options.lanes, options.binary) as player:
        seeds = range(seed, seed + options.count) if options.count else itertools.count(seed)
        result = player.play(seeds, goes_on, tell)
    tell(f"{result.scripts:,} generated scripts (seeds {seed} to {result.after - 1}), {result.steps:,} steps on both sides in "
         f"{result.seconds:,.0f} s, {result.steps / max(result.seconds, 1):,.0f} a second, {len(result.different)} different")
    again = 0
    if result.different:
        with Player(cluster, bed.subdirectory(f"p{version}"), options.binary) as player:
            for number in result.different[:10]:
                steps = Generator(number).script()
                if difference := player.play(steps):
                    again += 1
                    report(f"--seed {number} --count 1", player, steps, difference, small=True)
                else:
                    tell(f"seed {number} differed once, and not when it was played alone")
    cluster.stop()
    # A fixed number of scripts is a test: what a machine without time makes of one of them says nothing.
    return again if options.count else len(result.different)


def main() -> int:
    options = arguments()
    versions = [int(version) for version in options.servers.split(",")]
    missing = [version for version in versions if not postgres.available(version)]
    if missing:
        sys.exit(f"PostgreSQL {missing} is not installed: run cmake/setup.sh test")
    seed = options.seed if options.seed is not None else int(time.time()) % 1_000_000 * 1000
    failures = 0
    if options.native and Path("/dev/shm").is_dir():
        os.environ.setdefault("DBPROXY_TMP", "/dev/shm")
    with Testbed("diff") as bed:
        if options.native:
            return 1 if sum(natively(bed, version, options, seed) for version in versions) else 0
        for version in versions:
            cluster = bed.cluster(version=version)
            with Player(cluster, bed.subdirectory(f"p{version}"), options.binary) as player:
                since = time.monotonic()
                fixed = {options.file.name: parse(options.file.read_text())} if options.file else \
                    {name: steps for name, steps in all_cases().items() if options.case in name}
                for name, steps in fixed.items():
                    if difference := player.play(steps):
                        failures += 1
                        report(name, player, steps, difference, small=bool(options.file))
                print(f"PostgreSQL {version}: {len(fixed)} cases played, {failures} different", flush=True)
                if not options.file and not options.case:
                    count, different, after = generated(player, options, options.seconds / len(versions), seed)
                    failures += different
                    print(f"PostgreSQL {version}: {count} generated scripts (seeds {seed} to {after - 1}), "
                          f"{different} different", flush=True)
                took = time.monotonic() - since
                print(f"PostgreSQL {version}: {player.steps:,} steps on both sides in {took:.0f} s, "
                      f"{player.steps / took:,.0f} a second", flush=True)
            cluster.stop()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
