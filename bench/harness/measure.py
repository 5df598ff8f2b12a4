"""One measurement: pgbench against one candidate; CPU of the proxy per transaction, and latency percentiles.

The CPU is read in a window inside the run, and divided by the transactions that pgbench logged in that window, so that
log-ins, warm-up and the end are not in it.
"""

import glob
import os
import statistics
import subprocess
import time
from dataclasses import dataclass

from . import database, processes
from .processes import BenchError


@dataclass
class Sample:
    cpu_us: float | None   # of the proxy, per transaction; None where there is no proxy
    tps: float
    p50_ms: float
    p99_ms: float


def percentile(ordered, part):
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def read_log(prefix, begin, end):
    """Latencies in µs, sorted, of the transactions that ended between two moments of the wall clock."""
    latencies = []
    first, last = int(begin * 1e6), int(end * 1e6)
    for path in glob.glob(prefix + ".*"):
        with open(path) as file:
            for line in file:
                fields = line.split()
                if len(fields) >= 6 and first <= int(fields[4]) * 1_000_000 + int(fields[5]) < last:
                    if fields[2].isdigit():  # "failed" or "skipped" otherwise
                        latencies.append(int(fields[2]))
        os.unlink(path)
    latencies.sort()
    return latencies


def run(workspace, candidate, mode, clients, seconds, warmup):
    """Raises BenchError with pgbench's words where it fails."""
    prefix = os.path.join(workspace.path, "log", candidate.name)
    os.makedirs(os.path.dirname(prefix), exist_ok=True)
    for path in glob.glob(prefix + ".*"):
        os.unlink(path)
    command = ["pgbench", "-n", "-S", "-M", mode, "-c", str(clients), "-j", "1", "-T", str(whole(seconds + warmup)),
               "--log", f"--log-prefix={prefix}"]
    pid = candidate.process.pid if candidate.process else None
    child = subprocess.Popen(command, env=database.environment(candidate.port), stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, text=True)
    try:
        wait_for_log(child, prefix)
        time.sleep(warmup)
        begin, cpu_begin = time.time(), processes.cpu_ns(pid) if pid else 0
        time.sleep(seconds - 0.1)
        end, cpu_end = time.time(), processes.cpu_ns(pid) if pid else 0
        _, errors = child.communicate(timeout=60)
    except FileNotFoundError:
        raise BenchError(f"the process ended: {workspace.log_tail(candidate.name)}") from None
    except subprocess.TimeoutExpired:
        raise BenchError("pgbench did not end: a client hangs") from None
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    if child.returncode:
        raise BenchError(f"pgbench: {errors.strip()[-300:]}")
    latencies = read_log(prefix, begin, end)
    if not latencies:
        raise BenchError("pgbench logged no transaction")
    count = len(latencies)
    return Sample(cpu_us=(cpu_end - cpu_begin) / 1000 / count if pid else None, tps=count / (end - begin),
                  p50_ms=percentile(latencies, 0.50) / 1000, p99_ms=percentile(latencies, 0.99) / 1000)


def whole(seconds):
    return max(1, int(seconds + 0.999))


def wait_for_log(child, prefix, seconds=20):
    """Until every client is logged in and queries flow: pgbench logs nothing before."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if child.poll() is not None:
            return
        if any(os.path.getsize(path) for path in glob.glob(prefix + ".*")):
            return
        time.sleep(0.02)
    child.kill()
    raise BenchError(f"no transaction in {seconds} s")


def median_of(samples):
    def middle(name):
        values = [getattr(sample, name) for sample in samples]
        return None if None in values else statistics.median(values)
    return Sample(middle("cpu_us"), middle("tps"), middle("p50_ms"), middle("p99_ms"))


def matrix(workspace, candidates, modes, client_counts, repeats, seconds, warmup, progress):
    """{(candidate, mode, clients): Sample or reason}. Candidates take turns within each repeat, so that what else the
    machine does hits all of them alike; the reported values are medians."""
    results = {}
    total = len(modes) * len(client_counts) * repeats * len(candidates)
    done = 0
    for mode in modes:
        for clients in client_counts:
            samples = {candidate.name: [] for candidate in candidates}
            reasons = {}
            for _ in range(repeats):
                for candidate in candidates:
                    done += 1
                    reason = candidate.absent or candidate.unsupported.get(mode) or reasons.get(candidate.name)
                    if reason:
                        reasons[candidate.name] = reason
                        continue
                    try:
                        sample = run(workspace, candidate, mode, clients, seconds, warmup)
                        samples[candidate.name].append(sample)
                    except BenchError as error:
                        reasons[candidate.name] = str(error)
                        progress(f"{candidate.name}: {error}")
                        continue
                    cpu = f"{sample.cpu_us:6.1f} µs/tx" if sample.cpu_us is not None else "           "
                    progress(f"[{done:3}/{total}] {mode:9} {clients:3} clients  {candidate.name:10} {cpu} "
                             f"{sample.tps:8.0f} tps  p99 {sample.p99_ms:7.3f} ms")
            for name, taken in samples.items():
                results[name, mode, clients] = reasons.get(name) or median_of(taken)
    return results
