"""Child processes of a benchmark run: started, looked at through /proc, and always ended."""

import os
import pwd
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time

UNPRIVILEGED = "postgres"


class BenchError(Exception):
    """Something that the person at the terminal has to know; shown without a trace."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def raise_file_limit(wanted=20000):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def unprivileged():
    """Arguments for Popen: PostgreSQL and PgBouncer refuse to run as root."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam(UNPRIVILEGED)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def cpu_ns(pid):
    """CPU time of all threads of a process in nanoseconds; user and system, from the scheduler's own account."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/schedstat") as file:
                total += int(file.read().split()[0])
        except FileNotFoundError:  # a thread that ended between the two calls
            pass
    return total


def rss_bytes(pid):
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


class Workspace:
    """A temporary directory with the processes that run in it; all gone at the end of the `with`."""

    def __init__(self, keep=False):
        self.keep = keep
        self.children = []

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="dbproxy-bench-")
        os.chmod(self.path, 0o755)
        return self

    def __exit__(self, *_):
        for child in reversed(self.children):
            self.stop(child)
        if self.keep:
            print(f"kept: {self.path}")
        else:
            shutil.rmtree(self.path, ignore_errors=True)

    def directory(self, name, for_unprivileged=False):
        path = os.path.join(self.path, name)
        os.makedirs(path, exist_ok=True)
        if for_unprivileged and os.geteuid() == 0:
            entry = pwd.getpwnam(UNPRIVILEGED)
            os.chown(path, entry.pw_uid, entry.pw_gid)
        return path

    def write(self, name, text, mode=0o644):
        path = os.path.join(self.path, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    def start(self, name, command, drop_root=False, stop_signal=signal.SIGTERM):
        log = open(os.path.join(self.path, f"{name}.log"), "ab")
        child = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.path,
                                 **(unprivileged() if drop_root else {}))
        log.close()
        child.bench_name = name
        child.bench_signal = stop_signal
        self.children.append(child)
        return child

    def stop(self, child):
        if child.poll() is None:
            child.send_signal(child.bench_signal)
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def log_tail(self, name, lines=5):
        try:
            with open(os.path.join(self.path, f"{name}.log"), errors="replace") as file:
                return " | ".join(line.strip() for line in file.readlines()[-lines:])
        except FileNotFoundError:
            return ""

    def wait_listening(self, child, port, seconds=15):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if child.poll() is not None:
                raise BenchError(f"{child.bench_name} ended with {child.returncode}: {self.log_tail(child.bench_name)}")
            try:
                socket.create_connection(("127.0.0.1", port), 0.5).close()
                return
            except OSError:
                time.sleep(0.05)
        raise BenchError(f"{child.bench_name} did not listen in {seconds} s: {self.log_tail(child.bench_name)}")
