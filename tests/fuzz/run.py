#!/usr/bin/env python3
"""Runs each fuzz target for some seconds, starting from its seeds; fails when one of them finds something.

What a target learns stays in build/fuzz/corpus; a crashing input goes to build/fuzz/crashes, and is printed. Copy it to
tests/fuzz/corpus/NAME once it is fixed: the replay in ctest then keeps it fixed. In CI every run takes the same way, so
that what fails there is the change's doing; by hand each takes another, or that of --seed.
"""

import argparse
import glob
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SEEDS = os.path.join(ROOT, "tests/fuzz/corpus")


def build(directory):
    cmake = ["cmake", "--preset", "fuzz", "-S", ROOT, "-B", directory]
    for command in (cmake, ["cmake", "--build", directory, "--target", "fuzzers"]):
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL if command is cmake else None)
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed")


def shown(path):
    """A crashing input's file, and its beginning as a literal of Python, which outlives the machine in a log."""
    with open(path, "rb") as file:
        return f"{path}: {file.read(1000)!r}"


def run_one(program, name, directory, seconds, seed):
    """(executions, coverage, None or a line on the failure)."""
    learned = os.path.join(directory, "corpus", name)
    crashes = os.path.join(directory, "crashes")
    os.makedirs(learned, exist_ok=True)
    os.makedirs(crashes, exist_ok=True)
    seeds = os.path.join(SEEDS, name)
    command = [program, f"-max_total_time={seconds}", f"-seed={seed}", "-timeout=5", "-rss_limit_mb=2048", "-print_final_stats=1",
               f"-artifact_prefix={crashes}/{name}-", learned, *([seeds] if os.path.isdir(seeds) else [])]
    dictionary = os.path.join(ROOT, "tests/fuzz", f"{name}.dict")
    if os.path.exists(dictionary):
        command.insert(1, f"-dict={dictionary}")
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds + 120)
    except subprocess.TimeoutExpired:
        return 0, 0, "did not end"
    log = os.path.join(directory, f"{name}.log")
    with open(log, "w") as file:
        file.write(done.stderr)
    executions = re.findall(r"number_of_executed_units: (\d+)", done.stderr) or re.findall(r"^#(\d+)", done.stderr, re.M)
    coverage = re.findall(r"cov: (\d+)", done.stderr)
    failure = None
    if done.returncode:
        summary = re.findall(r"^SUMMARY: (.*)$", done.stderr, re.M)
        artifact = re.findall(r"Test unit written to (\S+)", done.stderr)
        failure = f"{summary[-1] if summary else f'exit code {done.returncode}'}; " \
                  f"{shown(artifact[-1]) if artifact else 'no input kept'}; log {log}"
    return int(executions[-1]) if executions else 0, int(coverage[-1]) if coverage else 0, failure


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="targets, without _fuzz; default all")
    parser.add_argument("--seconds", type=int, default=10, help="for each target")
    parser.add_argument("--seed", type=int, default=1 if os.environ.get("CI") == "true" else 0, help="0: another each time")
    parser.add_argument("--directory", default=os.path.join(ROOT, "build/fuzz"))
    parser.add_argument("--no-build", action="store_true")
    options = parser.parse_args()
    if not options.no_build:
        build(options.directory)
    programs = {os.path.basename(path).removesuffix("_fuzz"): path
                for path in sorted(glob.glob(os.path.join(options.directory, "bin/*_fuzz")))}
    unknown = set(options.names) - set(programs)
    if unknown or not programs:
        sys.exit(f"no fuzz target {', '.join(unknown) or 'at all'}; there are: {', '.join(programs) or 'none'}")
    failed = 0
    for name in options.names or programs:
        executions, coverage, failure = run_one(programs[name], name, options.directory, options.seconds, options.seed)
        print(f"{name:18} {executions:>10} inputs  {coverage:>6} edges  {failure or 'nothing found'}", flush=True)
        failed += failure is not None
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
