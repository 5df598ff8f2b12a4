"""Resident memory: of an idle process, per idle client, and with thousands idle while hundreds work."""

import os
import subprocess
import time
import urllib.request

from . import database, pgwire, processes
from .measure import percentile, read_log


def settled_rss(pid, seconds=1.0):
    time.sleep(seconds)
    return processes.rss_bytes(pid)


def open_idle(candidate, count, progress):
    """Logged-in sockets. Raises pgwire.LoginError or OSError with the number that were there."""
    sockets = []
    try:
        for index in range(count):
            sockets.append(pgwire.login(candidate.port, database.USER, database.PASSWORD, database.DATABASE))
            if index % 500 == 499:
                progress(f"{candidate.name}: {index + 1} idle clients")
    except (pgwire.LoginError, OSError) as error:
        close_all(sockets)
        raise pgwire.LoginError(f"client {len(sockets) + 1} of {count}: {error}") from error
    return sockets


def close_all(sockets):
    for sock in sockets:
        sock.close()


def measure(workspace, candidate, idle, crowd, busy, seconds, progress):
    """A dict of rows for one proxy just started: bytes, or a reason in words."""
    if candidate.absent:
        return {"reason": candidate.absent}
    pid, rows = candidate.process.pid, {}
    try:
        rows["idle_rss"] = rows["before"] = settled_rss(pid)
        sockets = open_idle(candidate, idle, progress)
        rows["idle_clients"] = idle
        rows["per_client"] = (settled_rss(pid) - rows["before"]) / idle
        if hasattr(candidate, "admin"):
            rows.update(scraped(candidate.admin))
        close_all(sockets)
        time.sleep(0.5)
        rows.update(crowded(workspace, candidate, crowd, busy, seconds, progress))
    except (pgwire.LoginError, OSError) as error:
        rows["reason"] = str(error)
    return rows


def scraped(port):
    """The metrics page while clients are connected: its size, and the median of what it takes from end to end."""
    took = []
    for _ in range(21):
        began = time.monotonic()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
            size = len(page.read())
        took.append(time.monotonic() - began)
    return {"scrape_ms": sorted(took)[len(took) // 2] * 1000, "scrape_bytes": size}


def crowded(workspace, candidate, crowd, busy, seconds, progress):
    """`crowd` idle clients stay connected while `busy` clients of pgbench run simple queries."""
    sockets = open_idle(candidate, crowd, progress)
    try:
        prefix = os.path.join(workspace.path, "crowd")
        done = subprocess.run(
            ["pgbench", "-n", "-S", "-c", str(busy), "-j", "1", "-T", str(seconds), "--log",
             f"--log-prefix={prefix}"], env=database.environment(candidate.port), capture_output=True, text=True)
        rss = processes.rss_bytes(candidate.process.pid)
        latencies = read_log(prefix, 0, time.time() + 1)
        row = {"crowd": crowd, "busy": busy, "crowd_rss": rss}
        if done.returncode or not latencies:
            row["crowd_reason"] = done.stderr.strip()[-200:] or "no transaction"
        else:
            row["crowd_tps"] = len(latencies) / seconds
            row["crowd_p99_ms"] = percentile(latencies, 0.99) / 1000
        for sock in sockets[::max(1, crowd // 50)]:  # a sample of the idle ones must still be served
            pgwire.query(sock, "SELECT 1")
        return row
    finally:
        close_all(sockets)
