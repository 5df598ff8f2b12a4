#!/usr/bin/env python3
"""Fails on an include that points up, a library in the wrong place, a missing DEPENDS, a file too long, a leak.

  run.py            the checks on the text of the tree
  run.py --headers  every header compiles alone
"""

import argparse
import os
import sys

import checks
import headers

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))

from support.stamps import Stamps, kept  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default=ROOT)
    parser.add_argument("--headers", action="store_true")
    parser.add_argument("--compiler", default="g++")
    options = parser.parse_args()
    tree = checks.Tree(os.path.abspath(options.root))
    if options.headers:
        failures = headers.check(tree, options.compiler, Stamps(kept("headers")))
        for header, words in failures:
            print(f"{header} does not compile alone:\n{words}")
        return 1 if failures else 0
    findings = checks.run_all(tree)
    for finding in findings:
        print(f"{'note: ' if finding.note else ''}{finding.where}: {finding.what}")
    failed = sum(not finding.note for finding in findings)
    print(f"{len(tree.sources())} sources, {len(tree.files)} files, {failed} failures")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
