#!/usr/bin/env python3
"""Fails where a program wants a shared library that the Containerfile's packages do not bring."""

import functools
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARIES = ROOT / "build/release/bin"
BASE = {"libc6", "libgcc-s1", "libstdc++6"}  # debian:12-slim has them, or what else is installed brings them


def output(*argv) -> str:
    return subprocess.run([str(word) for word in argv], check=True, capture_output=True, text=True).stdout


@functools.cache
def owner_of(path: Path) -> str:
    return output("dpkg", "-S", f"*/{path.parent.name}/{path.name}").split(":")[0]


@functools.cache
def depends(package: str) -> set[str]:
    return set(re.findall(r"[a-z0-9][a-z0-9+.-]+", output("dpkg-query", "-W", "-f", "${Depends}", package)))


def installed() -> set[str]:
    """The packages that the image's second stage names."""
    text = (ROOT / "Containerfile").read_text()
    names = re.search(r"apt-get install -y --no-install-recommends (.*?)\n &&", text, re.S)[1]
    return set(re.findall(r"[a-z0-9][a-z0-9+.-]+", names.replace("\\", " ")))


def main() -> int:
    named, wrong = installed() | BASE, []
    for program in ("dbproxy", "dbproxy-operator", "dbproxyctl"):
        needed = set(re.findall(r"NEEDED\s+(\S+)", output("objdump", "-p", BINARIES / program)))
        paths = dict(re.findall(r"(\S+) => (\S+)", output("ldd", BINARIES / program)))
        for library in sorted(needed & set(paths)):
            owner = owner_of(Path(paths[library]).resolve())
            if owner not in named and not any(owner in depends(name) for name in named):
                wrong.append(f"Containerfile: {program} wants {library} of the package {owner}")
    print("\n".join(sorted(set(wrong))) or "every library is in the image")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
