#!/usr/bin/env python3
"""A real single-node Kubernetes, without Docker, in namespaces of its own:

    run.py start          starts it, and leaves it running; prints what to type next
    run.py run            the same in the foreground, until Ctrl-C
    run.py stop           ends it; nothing is left but build/cluster (logs)
    run.py load TAR…      brings images into it (from `make images`)
    run.py hold NAME      keeps kube-apiserver, kubelet, … away until  release NAME
    run.py shell          a shell on the node

Needs root. One cluster on a machine: its addresses are fixed (172.31.77.0/24, 10.244.0.0/24, 10.96.0.0/16).
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from cluster import configuration  # noqa: E402
from cluster.host import Cluster  # noqa: E402
from support import paths  # noqa: E402
from support.process import exit_on_signals  # noqa: E402

NEXT = """\
Kubernetes {version} is ready after {seconds:.1f} s: one node, {node}. As root:

  export KUBECONFIG={kubeconfig}
  export PATH={programs}:$PATH                # kubectl, helm

  kubectl get nodes,pods -A
  make images && tests/cluster/run.py load build/images/*.tar     # imagePullPolicy: Never
  psql or any server on {host} of this machine is what its pods can reach

  make cluster-stop
"""


def say_next(cluster: Cluster, started: float):
    version = cluster.kubectl("version", "-o", "json").stdout
    print(NEXT.format(version=json.loads(version)["serverVersion"]["gitVersion"], seconds=time.monotonic() - started,
                      node=configuration.NODE, kubeconfig=cluster.kubeconfig, programs=paths.KUBE_BIN,
                      host=cluster.host), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["start", "run", "stop", "load", "hold", "release", "shell"])
    parser.add_argument("argument", nargs="*")
    options = parser.parse_args()
    cluster, started = Cluster(), time.monotonic()
    if options.action in ("start", "run") and cluster.taken():
        raise SystemExit("a cluster runs on this machine already: make cluster-stop ends it")
    if options.action == "start":
        try:
            say_next(cluster.start(detached=True), started)
        except BaseException:
            cluster.stop()
            raise
    elif options.action == "run":
        exit_on_signals()
        with cluster:
            say_next(cluster, started)
            print("Ctrl-C ends it.", flush=True)
            cluster._process.popen.wait()
    elif options.action == "stop":
        cluster.stop()
    elif not cluster.running():
        raise SystemExit("no cluster runs: make cluster")
    elif options.action == "shell":
        os.execvp("nsenter", ["nsenter", "-t", str(cluster.pid), "-p", "-m", "-n", "-u", "-i", "bash"])
    elif options.action == "load":
        cluster.load(*map(Path, options.argument))
    else:
        for name in options.argument:
            getattr(cluster, options.action)(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
