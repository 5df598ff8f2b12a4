#!/usr/bin/env python3
"""Style and static checks over the tracked files:  lint.py [format|tidy|shell|python|all] [--fix] [--seconds N]

tidy takes the files that changed last first, remembers what it found clean (by content, in ccache's directory), and
stops after so many seconds (LINT_SECONDS, default 150) with a line that says how many files it did not get to.
"""

import argparse
import concurrent.futures
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from support.stamps import Stamps, kept  # noqa: E402


def tracked(*patterns: str) -> list[str]:
    listed = subprocess.run(["git", "ls-files", "--", *patterns], cwd=ROOT, check=True, capture_output=True, text=True)
    return [path for path in listed.stdout.splitlines() if (ROOT / path).exists()]


def run(*command) -> bool:
    return subprocess.run([str(word) for word in command], cwd=ROOT).returncode == 0


def check_format(options) -> bool:
    files = tracked("*.cpp", "*.hpp", "*.h")
    if not shutil.which("clang-format-14"):
        print("clang-format-14 is missing: run cmake/setup.sh test")
        return False
    mode = ["-i"] if options.fix else ["--dry-run", "-Werror"]
    good = run("clang-format-14", *mode, *files)
    print(f"format: {len(files)} files{'' if good else '; `tests/lint/lint.py format --fix` repairs them'}")
    return good


def recent_first(files: list[str]) -> list[str]:
    log = subprocess.run(["git", "log", "--name-only", "--format=", "-n", "200"], cwd=ROOT, capture_output=True,
                         text=True).stdout.splitlines()
    place = {path: number for number, path in reversed(list(enumerate(log)))}
    return sorted(files, key=lambda path: place.get(path, len(log)))


def tidy_one(path: str, deadline: float, clean: Stamps) -> tuple[str, str | None]:
    """(path, None when clean, "" when there was no time, or what is wrong)."""
    left = deadline - time.monotonic()
    if left <= 1:
        return path, ""
    headers = "".join((ROOT / header).read_text() for header in tracked(os.path.dirname(path) + "/*.hpp"))
    content = (ROOT / ".clang-tidy").read_text() + (ROOT / path).read_text() + headers
    if clean.has(content):
        return path, None
    try:
        done = subprocess.run(
            ["clang-tidy-14", "-p", "build/dev", "--quiet", "--extra-arg=-Wno-unknown-warning-option", path],
            cwd=ROOT, capture_output=True, text=True, timeout=left)
    except subprocess.TimeoutExpired:
        return path, ""
    if done.returncode == 0:
        clean.put(content)
        return path, None
    return path, done.stdout or done.stderr


def check_tidy(options) -> bool:
    database = ROOT / "build/dev/compile_commands.json"
    if not shutil.which("clang-tidy-14") or not database.exists():
        print("clang-tidy-14 or build/dev/compile_commands.json is missing: run make test")
        return False
    clean = Stamps(kept("tidy"))
    known = database.read_text()
    files = [path for path in recent_first(tracked("proxy/*.cpp", "operator/*.cpp")) if f"/{path}\"" in known]
    deadline = time.monotonic() + options.seconds
    bad = late = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, result in pool.map(lambda each: tidy_one(each, deadline, clean), files):
            if result == "":
                late += 1
            elif result is not None:
                bad += 1
                print(f"{path}:\n{result}")
    print(f"tidy: {len(files) - late - bad} of {len(files)} files are clean, {bad} are not"
          + (f"; no time for {late}: LINT_SECONDS=3600 make lint" if late else ""))
    return bad == 0


def check_shell(_options) -> bool:
    shebangs = (b"#!/usr/bin/env bash", b"#!/bin/bash", b"#!/bin/sh")
    files = [path for path in tracked() if (ROOT / path).is_file() and
             (path.endswith(".sh") or (ROOT / path).open("rb").read(32).startswith(shebangs))]
    if not shutil.which("shellcheck"):
        print("shellcheck is missing: run cmake/setup.sh test")
        return os.environ.get("CI") != "true"
    good = run("shellcheck", *files)
    print(f"shell: {len(files)} files")
    return good


def check_python(_options) -> bool:
    bad, files = 0, tracked("*.py")
    for path in files:
        try:
            compile((ROOT / path).read_text(), path, "exec")
        except SyntaxError as error:
            print(error)
            bad += 1
        for number, line in enumerate((ROOT / path).read_text().splitlines(), 1):
            if len(line) > 132 or line != line.rstrip():  # 120, and some room for texts
                print(f"{path}:{number}: longer than 132 columns, or blanks at the end")
                bad += 1
    print(f"python: {len(files)} files")
    return bad == 0


CHECKS = {"format": check_format, "shell": check_shell, "python": check_python, "tidy": check_tidy}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("check", nargs="?", default="all", choices=[*CHECKS, "all"])
    parser.add_argument("--fix", action="store_true", help="format: rewrite the files")
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("LINT_SECONDS", 150)))
    options = parser.parse_args()
    names = list(CHECKS) if options.check == "all" else [options.check]
    results = [CHECKS[name](options) for name in names]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
