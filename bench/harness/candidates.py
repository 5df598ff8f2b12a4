"""Who is measured: each candidate is a process between pgbench and the database, with the same pool of 20."""

import os
import shutil
import time

from . import database, pgwire, processes
from .processes import BenchError

POOL_SIZE = 20
MODES = ("simple", "extended", "prepared")


class Candidate:
    """A port to connect to, and the process whose CPU is counted (None: no proxy at all)."""

    name = title = ""
    pools = False           # it multiplexes: more clients than server connections are possible
    unsupported = {}        # mode → why not

    def __init__(self):
        self.port, self.process, self.version, self.absent = 0, None, "", ""

    def start(self, workspace, server_port, release_bin):
        raise NotImplementedError


class Direct(Candidate):
    name, title = "direct", "direct"

    def start(self, workspace, server_port, release_bin):
        self.port = server_port
        self.version = database.version_of(["pgbench", "--version"])


class Relay(Candidate):
    name, title = "relay", "bare relay (floor)"

    def start(self, workspace, server_port, release_bin):
        binary = os.path.join(release_bin, "bench_relay")
        if not os.path.exists(binary):
            raise BenchError("bench_relay is not built (make build)")
        self.port = processes.free_port()
        self.process = workspace.start(self.name, [binary, str(self.port), "127.0.0.1", str(server_port)])
        workspace.wait_listening(self.process, self.port)


class HAProxy(Candidate):
    name, title = "haproxy", "HAProxy, TCP mode"

    def start(self, workspace, server_port, release_bin):
        binary = find("haproxy")
        self.version = database.version_of([binary, "-v"])
        self.port = processes.free_port()
        config = workspace.write("haproxy.cfg", f"""global
  nbthread 1
  maxconn 9000
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen bench
  bind 127.0.0.1:{self.port}
  server db 127.0.0.1:{server_port}
""")
        self.process = workspace.start(self.name, [binary, "-db", "-f", config])
        workspace.wait_listening(self.process, self.port)


class PgBouncer(Candidate):
    name, title, pools = "pgbouncer", "PgBouncer, transaction pooling", True

    def start(self, workspace, server_port, release_bin):
        binary = find("pgbouncer")
        self.version = database.version_of([binary, "--version"])
        if tuple(int(part) for part in self.version.split(".")[:2]) < (1, 21):
            self.unsupported = {"prepared": f"PgBouncer {self.version} has no prepared statements with transaction "
                                            "pooling (1.21 brought them)"}
        self.port = processes.free_port()
        users = workspace.write("pgbouncer.users", f'"{database.USER}" "{database.PASSWORD}"\n')
        config = workspace.write("pgbouncer.ini", f"""[databases]
{database.DATABASE} = host=127.0.0.1 port={server_port} dbname={database.DATABASE}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
default_pool_size = {POOL_SIZE}
max_client_conn = 9000
client_tls_sslmode = disable
server_tls_sslmode = disable
ignore_startup_parameters = extra_float_digits
log_connections = 0
log_disconnections = 0
log_stats = 0
{"max_prepared_statements = 200" if not self.unsupported else ""}
""")
        self.process = workspace.start(self.name, [binary, config], drop_root=True)
        workspace.wait_listening(self.process, self.port)


class DBProxy(Candidate):
    name, title, pools = "dbproxy", "dbproxy", True

    def start(self, workspace, server_port, release_bin):
        binary = os.path.join(release_bin, "dbproxy")
        if not os.path.exists(binary):
            raise BenchError("dbproxy is not built (make build)")
        self.version = database.version_of([binary, "--version"])
        self.port, self.admin = processes.free_port(), processes.free_port()
        percent = POOL_SIZE * 100 // database.MAX_CONNECTIONS
        workspace.write("manifests/bench.yaml", f"""apiVersion: v1
kind: Secret
metadata: {{name: bench, namespace: bench}}
stringData: {{username: {database.USER}, password: {database.PASSWORD}}}
---
apiVersion: dbproxy.io/v1alpha1
kind: DBProxy
metadata: {{name: bench, namespace: bench}}
spec:
  engineFamily: POSTGRESQL
  port: {self.port}
  requireTLS: false
  auth:
  - {{authScheme: SECRETS, secretRef: {{name: bench}}, clientPasswordAuthType: POSTGRES_SCRAM_SHA_256}}
  targetGroups:
  - name: default
    dbCluster:
      endpoint: 127.0.0.1
      port: {server_port}
      instances: [{{id: bench-1, endpoint: 127.0.0.1, port: {server_port}}}]
      tls: {{mode: disable}}
    connectionPool: {{maxConnectionsPercent: {percent}, maxIdleConnectionsPercent: {percent}}}
""")
        self.process = workspace.start(self.name, [
            binary, "--manifests", os.path.join(workspace.path, "manifests"), "--bind", "127.0.0.1",
            "--admin", f"127.0.0.1:{self.admin}"])
        workspace.wait_listening(self.process, self.port)


ALL = (Direct, Relay, HAProxy, PgBouncer, DBProxy)


def find(program):
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if not path:
        raise BenchError(f"{program} is not installed")
    return path


def wait_serving(candidate, seconds=15):
    """Until a query goes through: a proxy may listen before it knows its databases."""
    end = time.monotonic() + seconds
    while True:
        try:
            with pgwire.login(candidate.port, database.USER, database.PASSWORD, database.DATABASE) as probe:
                pgwire.query(probe, "SELECT 1")
            return
        except (pgwire.LoginError, OSError):
            if time.monotonic() > end or (candidate.process and candidate.process.poll() is not None):
                raise
            time.sleep(0.2)


def start_all(workspace, server_port, release_bin, only=()):
    """Candidates that answer a query; one that does not is kept with the reason in `absent`."""
    started = []
    for kind in ALL:
        candidate = kind()
        if only and candidate.name not in only and candidate.name != "relay":
            continue
        started.append(candidate)
        start(candidate, workspace, server_port, release_bin)
    return started


def start(candidate, workspace, server_port, release_bin):
    """Also again: memory is measured on a process that has seen no load."""
    if candidate.process:
        workspace.stop(candidate.process)
    try:
        candidate.start(workspace, server_port, release_bin)
        wait_serving(candidate)
    except (BenchError, pgwire.LoginError, OSError) as error:
        candidate.absent = str(error)[:300]
