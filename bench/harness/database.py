"""The PostgreSQL that every candidate talks to: temporary, without TLS, on loopback."""

import glob
import os
import re
import signal
import subprocess
import time

from . import processes
from .processes import BenchError

USER, PASSWORD, DATABASE = "bench", "bench-only-password", "bench"
MAX_CONNECTIONS = 200


def binaries(version=15):
    found = sorted(glob.glob(f"/usr/lib/postgresql/{version}/bin"))
    if not found:
        raise BenchError(f"PostgreSQL {version} is not installed (Debian: postgresql-{version})")
    return found[-1]


def environment(port):
    """For libpq: no TLS on any hop, whatever the defaults of client and server are."""
    return {**os.environ, "PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": USER, "PGPASSWORD": PASSWORD,
            "PGDATABASE": DATABASE, "PGSSLMODE": "disable", "PGGSSENCMODE": "disable"}


def version_of(command):
    try:
        text = subprocess.run(command, capture_output=True, text=True).stdout
        return re.search(r"\d+\.\d+(\.\d+)?", text).group(0)
    except (OSError, AttributeError):
        return "unknown"


class Database:
    def __init__(self, workspace, scale):
        self.bin = binaries()
        self.port = processes.free_port()
        home = workspace.directory("pg", for_unprivileged=True)
        data = os.path.join(home, "data")
        run = subprocess.run([f"{self.bin}/initdb", "-D", data, "-U", "postgres", "--auth=trust", "--no-sync",
                              "--encoding=UTF8", "--locale=C"], capture_output=True, text=True, cwd=home,
                             **processes.unprivileged())
        if run.returncode:
            raise BenchError(f"initdb: {run.stderr.strip()}")
        with open(os.path.join(data, "pg_hba.conf"), "w") as file:
            file.write("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
        settings = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": home,
                    "max_connections": MAX_CONNECTIONS, "ssl": "off", "fsync": "off", "shared_buffers": "256MB",
                    "password_encryption": "scram-sha-256", "autovacuum": "off", "max_wal_size": "4GB",
                    "jit": "off"}
        command = [f"{self.bin}/postgres", "-D", data]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        child = workspace.start("postgres", command, drop_root=True, stop_signal=signal.SIGINT)
        workspace.wait_listening(child, self.port)
        self.wait_ready(home)
        for database, sql in (("postgres", f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'"),
                              ("postgres", f"GRANT pg_monitor TO {USER}"),
                              ("postgres", f"CREATE DATABASE {DATABASE} OWNER {USER}")):
            self.run([f"{self.bin}/psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", home, "-p", str(self.port),
                      "-U", "postgres", "-d", database, "-c", sql])
        self.run(["pgbench", "-i", "-q", "-s", str(scale)], environment(self.port))

    def wait_ready(self, home, seconds=30):
        """It listens before it lets anybody in."""
        end = time.monotonic() + seconds
        while subprocess.run([f"{self.bin}/pg_isready", "-q", "-h", home, "-p", str(self.port)]).returncode:
            if time.monotonic() > end:
                raise BenchError(f"postgres lets nobody in after {seconds} s")
            time.sleep(0.05)

    @staticmethod
    def run(command, env=None):
        done = subprocess.run(command, capture_output=True, text=True, env=env)
        if done.returncode:
            raise BenchError(f"{command[0]}: {done.stderr.strip()[-400:]}")
        return done.stdout
