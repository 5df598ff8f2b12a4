"""Where things are. DBPROXY_BIN chooses the binaries, by default those of the development build."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
TESTBED = BUILD / "testbed"
DEBIAN_POSTGRES = Path("/usr/lib/postgresql/15/bin")
POSTGRES_17, POSTGRES_18 = TESTBED / "postgresql-17", TESTBED / "postgresql-18"
MYSQL_8 = TESTBED / "mysql-8.0"
DEBIAN_MARIADB = Path("/usr/sbin/mariadbd")
MARIADB_CLIENT = Path("/usr/bin/mariadb")
MARIADB_DUMP = Path("/usr/bin/mariadb-dump")
KUBE_BIN = TESTBED / "kube" / "bin"


def binary(name: str) -> Path:
    """dbproxy, dbproxy-operator or dbproxyctl."""
    return Path(os.environ.get("DBPROXY_BIN", BUILD / "dev" / "bin")).resolve() / name


def release_binary(name: str) -> Path:
    """The same as shipped: for tests that measure."""
    return Path(os.environ.get("DBPROXY_RELEASE_BIN", BUILD / "release" / "bin")).resolve() / name


def absolute(text: str) -> Path:
    """A program that a command line names, which runs in a directory of its own."""
    return Path(text).resolve()
