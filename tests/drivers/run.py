"""Runs one driver's check program through a sidecar with a pool of one where it can, without TLS and with it.

  run.py NAME [--direct]      --direct: against the database itself, to prove the program
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support import paths  # noqa: E402
from support.manifests import Manifests  # noqa: E402
from support.ports import free_port  # noqa: E402
from support.sidecar import Sidecar  # noqa: E402
from support.testbed import Testbed  # noqa: E402

HERE = Path(__file__).resolve().parent
PYTHON = paths.TESTBED / "venv/bin/python"
SCHEMA = """
DROP TABLE IF EXISTS items;
CREATE TABLE items (id serial PRIMARY KEY, name text UNIQUE, amount numeric(10, 2), made timestamptz DEFAULT now());
GRANT ALL ON items TO app; GRANT ALL ON SEQUENCE items_id_seq TO app;
"""


# Connections that the pool may have. One shows best whether the proxy keeps its clients apart; asyncpg turns JIT off
# for its look at the types, which holds its connection until such settings are carried over.
LIMIT = {"asyncpg": 12}


def command(name: str, directory: Path) -> list:
    if name in ("psycopg3", "psycopg2", "asyncpg", "sqlalchemy"):
        return [PYTHON, "-B", HERE / "python" / f"check_{name}.py"]
    if name == "node":
        return ["node", HERE / "node" / "check.js"]
    if name == "pgjdbc":
        jar = next((paths.TESTBED / "jars").glob("postgresql-*.jar"))
        return ["java", "-cp", jar, HERE / "java" / "Check.java"]
    program = directory / f"{name}-check"
    subprocess.run(["go", "build", "-o", program, "."], cwd=HERE / name, check=True, stdin=subprocess.DEVNULL,
                   env={**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"})
    return [program]


def check(argv: list, port: int, sslmode: str) -> None:
    environment = {**os.environ, "NODE_PATH": str(paths.TESTBED / "node/node_modules"), "DB_HOST": "127.0.0.1",
                   "DB_PORT": str(port), "DB_USER": "app", "DB_PASSWORD": "app-secret", "DB_NAME": "orders",
                   "DB_SSLMODE": sslmode}
    environment = {name: value for name, value in environment.items() if not name.startswith("PG")}
    print(f"-- sslmode={sslmode}", flush=True)
    subprocess.run([str(word) for word in argv], env=environment, check=True, timeout=120, stdin=subprocess.DEVNULL)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=["psycopg3", "psycopg2", "asyncpg", "sqlalchemy", "pgjdbc", "pgx", "pq", "node"])
    parser.add_argument("--direct", action="store_true")
    arguments = parser.parse_args()
    with Testbed("drv") as bed:
        cluster = bed.cluster(version=15)
        argv = command(arguments.name, bed.directory)
        port, sidecar = cluster.writer.port, None
        if not arguments.direct:
            port = free_port()
            manifests = Manifests(bed.directory / "m")
            manifests.for_cluster(cluster, port, pool={"maxConnectionsPercent": LIMIT.get(arguments.name, 1)})
            sidecar = Sidecar(bed.directory, manifests=manifests.directory).start()
        try:
            for sslmode in ("disable", "require"):
                cluster.writer.sql(SCHEMA, "orders")
                check(argv, port, sslmode)
        except subprocess.SubprocessError as error:
            print(f"{error}\n{sidecar.log()[-5000:] if sidecar else ''}")
            return 1
        if sidecar:
            sidecar.stop()
    print(f"{arguments.name}: passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
