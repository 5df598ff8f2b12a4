#!/usr/bin/env python3
"""Container images from what this machine has, since tests must not need a registry:  images.py [DIRECTORY]

dbproxy:dev has the three programs of build/release and the libraries that the loader gives them here; app:dev is an
application with psql and pgbench from Debian's packages; pause is what holds a pod together. The Containerfile makes
the first as a release would. Written to build/images, in a form that ctr, docker and podman load.
"""

import glob
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from cluster import configuration  # noqa: E402
from cluster.oci import Image  # noqa: E402
from support import paths  # noqa: E402

DBPROXY = "dbproxy.test/dbproxy:dev"
APPLICATION = "dbproxy.test/app:dev"
NEXT = "dbproxy.test/dbproxy:next"  # says that it is two minor versions newer; for tests
VERSIONS = ("0.1.0", "0.3.0")
USER = 65532
_PROGRAMS = ("dbproxy", "dbproxy-operator", "dbproxyctl")
_TOOLS = ("bash", "cat", "date", "env", "grep", "head", "id", "ls", "mkdir", "mv", "rm", "sed", "sleep", "sort",
          "stat", "tail", "test", "touch", "wc", "true", "false")


def _base() -> Image:
    image = Image().users({"root": 0, "dbproxy": USER, "postgres": 70})
    image.text("/etc/nsswitch.conf", "hosts: files dns\npasswd: files\ngroup: files\n").directory("/tmp", 0o1777)
    # Names are looked up through modules that glibc loads by itself.
    for module in glob.glob("/lib/*/libnss_dns.so.2") + glob.glob("/lib/*/libnss_files.so.2"):
        image.library(Path(module))
    return image


def dbproxy(archive: Path, reference: str = DBPROXY) -> Path:
    image = _base().file(Path("/etc/ssl/certs/ca-certificates.crt"))
    for name in _PROGRAMS:
        image.program(paths.release_binary(name), f"/usr/bin/{name}")
        if reference == NEXT:
            before, after = (f"\0{version}\0".encode() for version in VERSIONS)
            image.replace(f"/usr/bin/{name}", before, after)
    return image.write(archive, reference, ["/usr/bin/dbproxy"], user=f"{USER}:{USER}")


def newer(archive: Path) -> Path:
    return dbproxy(archive, NEXT)


def application(archive: Path) -> Path:
    image = _base()
    for name in ("psql", "pgbench"):
        image.program(paths.DEBIAN_POSTGRES / name, f"/usr/bin/{name}")
    for name in _TOOLS:
        image.program(Path(f"/usr/bin/{name}"))
    image.link("/bin", "usr/bin").link("/usr/bin/sh", "bash")
    return image.write(archive, APPLICATION, ["/usr/bin/bash"], user=f"{USER}:{USER}")


def pause(archive: Path) -> Path:
    image = Image().users({"root": 0}).program(paths.KUBE_BIN / "pause", "/pause")
    return image.write(archive, configuration.PAUSE_IMAGE, ["/pause"], user="65535:65535")


IMAGES = {"dbproxy": dbproxy, "next": newer, "app": application, "pause": pause}


def build(directory: Path = paths.BUILD / "images", names=("dbproxy", "app")) -> list[Path]:
    return [IMAGES[name](directory / f"{name}.tar") for name in names]


def main() -> int:
    for archive in build(*(Path(word) for word in sys.argv[1:2])):
        print(f"{os.path.relpath(archive)}  {archive.stat().st_size / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
