"""Runs a test command if what it needs is there:  require.py COMPONENT… -- COMMAND…

Without a component the test is skipped (exit code 77, which ctest knows) with the remedy, or fails where CI=true:
there everything has to be installed.
"""

import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from cluster.host import Cluster  # noqa: E402
from support import kube_apiserver, mysql, paths, postgres  # noqa: E402

SETUP = "run cmake/setup.sh test"
COMPONENTS = {
    "venv": (lambda: (paths.TESTBED / "venv/bin/python").exists(), SETUP),
    "aws": (lambda: (paths.TESTBED / "aws/bin/python").exists(), SETUP),
    "postgresql-15": (lambda: postgres.available(15), SETUP),
    "postgresql-17": (lambda: postgres.available(17), SETUP),
    "postgresql-18": (lambda: postgres.available(18), SETUP),
    "mysql-8.0": (lambda: mysql.available(mysql.MYSQL), SETUP),
    "mariadb-10.11": (lambda: mysql.available(mysql.MARIADB), SETUP),
    "sidecar": (lambda: paths.binary("dbproxy").exists(), "run cmake --preset dev && ninja -C build/dev"),
    "operator": (lambda: paths.binary("dbproxy-operator").exists(), "run cmake --preset dev && ninja -C build/dev"),
    "release": (lambda: paths.release_binary("dbproxy").exists(), "run make build"),
    "kube-apiserver": (kube_apiserver.available, SETUP),
    "etcd-3.4": (lambda: kube_apiserver.available("3.4"), SETUP),
    "cluster": (Cluster.available, "as root, " + SETUP),
    "helm": (lambda: (paths.KUBE_BIN / "helm").exists(), SETUP),
    "node": (lambda: shutil.which("node") and (paths.TESTBED / "node/node_modules/pg").exists(), SETUP),
    "java": (lambda: shutil.which("java") and list((paths.TESTBED / "jars").glob("postgresql-*.jar")), SETUP),
    "mysql-drivers": (lambda: shutil.which("node") and shutil.which("java") and shutil.which("go")
                      and shutil.which("mariadb_config") and (paths.TESTBED / "node-mysql/node_modules/mysql2").exists()
                      and list((paths.TESTBED / "jars").glob("mysql-connector-j-*.jar"))
                      and list((paths.TESTBED / "venv/lib").glob("*/site-packages/MySQLdb")), SETUP),
    "go": (lambda: shutil.which("go"), SETUP),
    "suites": (lambda: all((paths.TESTBED / "suites" / name).exists()
                           for name in ("venv", "psycopg2", "sqlalchemy", "django", "pgx", "go-mysql", "pgjdbc",
                                        "regress/regress.so")), SETUP),
    "promtool": (lambda: shutil.which("promtool"), SETUP),
    "lua": (lambda: shutil.which("lua5.4"), SETUP),
    "chromium": (lambda: shutil.which("chromium"), SETUP),
    "strace": (lambda: shutil.which("strace"), SETUP),
    "sysbench": (lambda: shutil.which("sysbench"), SETUP),
    "tsan": (lambda: (paths.BUILD / "tsan/bin/test_worker").exists(),
             "run cmake --preset tsan && ninja -C build/tsan threaded_tests"),
    "fuzzers": (lambda: list((paths.BUILD / "fuzz/bin").glob("*_fuzz")), "run make fuzz"),
    "clang-format": (lambda: shutil.which("clang-format-14"), SETUP),
    "clang-tidy": (lambda: shutil.which("clang-tidy-14"), SETUP),
    "shellcheck": (lambda: shutil.which("shellcheck"), SETUP),
}


def main() -> int:
    split = sys.argv.index("--")
    for component in sys.argv[1:split]:
        present, remedy = COMPONENTS[component]
        if present():
            continue
        ci = os.environ.get("CI") == "true"
        print(f"{'FAILED' if ci else 'SKIPPED'}: {component} is missing; {remedy}", flush=True)
        return 1 if ci else 77
    command = sys.argv[split + 1:]
    os.execvp(command[0], command)
    return 1


if __name__ == "__main__":
    sys.exit(main())
