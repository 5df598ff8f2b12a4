"""The host's side of the cluster: namespaces, the network between, control groups, images; and their end."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

from cluster import configuration, images
from support import paths
from support.process import Process, Startable, run
from support.waiting import wait_for

STATE = Path(os.environ.get("DBPROXY_CLUSTER", paths.BUILD / "cluster"))


class Cluster(Startable):
    """The host's end. A context manager; or start() and stop() with the same directory from two processes."""

    def __init__(self, state: Path = STATE):
        self.state = Path(state)
        self.kubeconfig = self.state / "admin.kubeconfig"
        self.host = configuration.HOST_ADDRESS
        self._pid_file = self.state / "pid"
        self._process = Process("node", self.state / "node.log")

    @staticmethod
    def available() -> bool:
        return os.geteuid() == 0 and all(shutil.which(str(program)) for program in (
            paths.KUBE_BIN / "kubelet", paths.KUBE_BIN / "coredns", paths.KUBE_BIN / "pause", "containerd", "runc",
            "nft", "/usr/lib/cni/bridge"))

    @property
    def pid(self) -> int:
        """Of the node's pid 1, as the host counts."""
        return int(self._pid_file.read_text())

    def running(self) -> bool:
        try:
            return b"node.py" in Path(f"/proc/{self.pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return False

    @staticmethod
    def taken() -> bool:
        """Whether this machine has a cluster, this one or another: the addresses are the same."""
        return Path(f"/sys/class/net/{configuration.INTERFACE}").exists()

    def start(self, detached: bool = False, timeout: float = 120):
        if os.geteuid() != 0:
            raise RuntimeError("needs root: namespaces, mounts and routes are made")
        if self.taken():
            raise RuntimeError("a cluster runs on this machine already: make cluster-stop ends it")
        shutil.rmtree(self.state, ignore_errors=True)
        self.state.mkdir(parents=True)
        self.state.chmod(0o700)
        configuration.write_all(self.state)
        self._make_cgroups()
        self._start_node(detached)
        self._join_network()
        wait_for(lambda: self.kubectl("get", "--raw", "/readyz").stdout == "ok", timeout, "the API server is ready",
                 interval=0.1)
        for each in configuration.ADDONS:
            self.apply(each)
        self.load(images.pause(self.state / "pause.tar"))
        ready = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
        wait_for(lambda: self.kubectl("get", "node", configuration.NODE, "-o", ready).stdout == "True", timeout,
                 "the node is ready", interval=0.1)
        wait_for(lambda: self.kubectl("get", "serviceaccount", "default", "-n", "default"), 30, "service accounts")
        return self

    def _start_node(self, detached: bool):
        command = ["unshare", "--fork", "--kill-child", "--pid", "--mount-proc", "--net", "--mount", "--uts", "--ipc",
                   "/usr/bin/python3", "-B", Path(__file__).with_name("node.py"), self.state]
        if detached:
            with open(self._process.log_path, "ab") as log:
                parent = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log,
                                          stderr=log, start_new_session=True).pid
        else:
            parent = self._process.start(command).pid
        children = Path(f"/proc/{parent}/task/{parent}/children")

        def child() -> int:
            if not children.exists():
                raise RuntimeError(self._process.log())
            return int(children.read_text().split()[0])
        self._pid_file.write_text(str(wait_for(child, 10, "the node's first process")))
        wait_for(self.running, 10, "the node's program")

    def _join_network(self):
        name = configuration.INTERFACE
        run(["ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", self.pid])
        run(["ip", "address", "add", f"{configuration.HOST_ADDRESS}/24", "dev", name])
        run(["ip", "link", "set", name, "up"])
        for ranges in (configuration.POD_RANGE, configuration.SERVICE_RANGE):
            run(["ip", "route", "add", ranges, "via", configuration.NODE_ADDRESS])

    def stop(self):
        """Ends pid 1 of the node, and with it everything that ran there; then the control groups are empty."""
        with contextlib.suppress(OSError, ValueError):
            if self.running():
                pid = self.pid
                os.kill(pid, signal.SIGKILL)
                wait_for(lambda: not self.running(), 20, f"process {pid} is gone")
        self._process.stop()
        self._pid_file.unlink(missing_ok=True)
        # The kernel ends namespaces one after the other, and others' may hold unsent packets.
        wait_for(lambda: not self.taken(), 120, "the network is gone", interval=0.05)
        wait_for(self._remove_cgroups, 20, "the control groups are empty", interval=0.05)

    @staticmethod
    def _cgroups() -> list[Path]:
        """The kubelet's root in each hierarchy: one in version 2, one for each controller in version 1."""
        root = Path("/sys/fs/cgroup")
        if (root / "cgroup.controllers").exists():
            return [root / configuration.CGROUP]
        places = {hierarchy.resolve() for hierarchy in root.iterdir()}
        return [place / configuration.CGROUP for place in places if (place / "cgroup.procs").exists()]

    def _make_cgroups(self):
        for group in self._cgroups():
            group.mkdir(exist_ok=True)
            for name in ("cpuset.cpus", "cpuset.mems"):  # of version 1, where a new group has none
                with contextlib.suppress(OSError):
                    (group / name).write_text((group.parent / name).read_text())

    def _remove_cgroups(self) -> bool:
        for root in self._cgroups():
            for directory, _, _ in os.walk(root, topdown=False):
                os.rmdir(directory)
        return True

    def kubectl(self, *arguments, input: str | None = None, check: bool = True, timeout: float = 60):
        return run([paths.KUBE_BIN / "kubectl", "--kubeconfig", self.kubeconfig,
                    f"--cache-dir={self.state / 'kubectl-cache'}", *arguments], input=input, check=check,
                   timeout=timeout)

    def apply(self, *objects: dict):
        for each in objects:
            self.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(each))

    def on_node(self, *command, check: bool = True, timeout: float = 120):
        """A command in the node's namespaces."""
        return run(["nsenter", "-t", self.pid, "-p", "-m", "-n", "-u", "-i", *command], check=check, timeout=timeout)

    def load(self, *archives: Path):
        """Images of `make images`, or any other that `docker save` or buildah wrote."""
        wait_for(lambda: self.on_node("test", "-S", configuration.CONTAINERD_SOCKET).returncode == 0, 60, "containerd")
        for archive in archives:
            wait_for(lambda path=archive: self.on_node(
                "ctr", "--address", configuration.CONTAINERD_SOCKET, "-n", "k8s.io", "images", "import",
                 Path(path).resolve()), 60, f"{archive} is imported", interval=0.2)

    def hold(self, daemon: str):
        """Ends one of the node's programs and keeps it away."""
        (self.state / "hold" / daemon).touch()

    def release(self, daemon: str):
        (self.state / "hold" / daemon).unlink(missing_ok=True)
