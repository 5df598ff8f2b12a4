#!/usr/bin/env python3
"""Pid 1 of the node:  node.py STATE, inside pid, net, mount, uts and ipc namespaces of its own.

Mounts what has to be private, waits for its end of the veth pair, starts the programs and starts them again when they
end. A file STATE/hold/NAME keeps the program of that name away until the file is gone. When this process ends, the
kernel ends all that is in its pid namespace, and with the last process the mounts and the network are gone.
"""

import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from cluster import configuration  # noqa: E402

PRIVATE = ["/var/lib/cni", "/var/lib/kubelet", "/var/log"]
TICK = 0.05  # seconds between two looks at children and at STATE/hold
RESTART_AFTER = 0.5  # seconds
INSIST_AFTER = 1.0  # seconds from SIGTERM to SIGKILL


def command(*argv):
    subprocess.run([str(word) for word in argv], check=True)


def mount(state: Path):
    """One tmpfs holds everything that the node writes: images, containers, etcd. /run is another."""
    (state / "node").mkdir(exist_ok=True)
    command("mount", "-t", "tmpfs", "-o", "mode=0755,size=75%", "dbproxy-node", state / "node")
    for place in PRIVATE:
        inside = state / "node" / place.strip("/").replace("/", "-")
        inside.mkdir()
        Path(place).mkdir(parents=True, exist_ok=True)
        command("mount", "--bind", inside, place)
    # The kubelet and runc want to see mounts of containers come and go.
    command("mount", "--make-shared", "/var/lib/kubelet")
    command("mount", "-t", "tmpfs", "-o", "mode=0755", "dbproxy-run", "/run")
    for name in configuration.KERNEL_SETTINGS:
        command("mount", "--bind", state / "sysctl" / name, f"/proc/sys/{name}")


def network():
    for _ in range(200):
        if Path("/proc/sys/net/ipv4/conf/eth0").exists():
            break
        time.sleep(0.02)
    command("ip", "link", "set", "lo", "up")
    command("ip", "address", "add", f"{configuration.NODE_ADDRESS}/24", "dev", "eth0")
    command("ip", "link", "set", "eth0", "up")
    # connect() to a Service wants a route before kube-proxy rewrites the address.
    command("ip", "route", "add", configuration.SERVICE_RANGE, "via", configuration.HOST_ADDRESS)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1\n")


def api_ready(state: Path) -> bool:
    context = ssl.create_default_context(cafile=str(state / "pki/ca.pem"))
    try:
        with urllib.request.urlopen("https://127.0.0.1:6443/readyz", timeout=2, context=context) as answer:
            return answer.status == 200
    except OSError:
        return False


class Supervisor:
    """Starts, restarts and holds back the programs, and reaps whatever else is left to pid 1."""

    def __init__(self, state: Path):
        self.state = state
        self.programs = configuration.daemons(state)
        names = list(self.programs)
        self.first = names[:names.index("kube-apiserver") + 1]
        self.pids: dict[str, int] = {}
        self.ending: dict[str, float] = {}
        self.not_before = dict.fromkeys(names, 0.0)

    def start(self, name: str):
        with open(self.state / "logs" / f"{name}.log", "ab") as log:
            self.pids[name] = subprocess.Popen(self.programs[name], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                               start_new_session=True).pid

    def end(self, name: str):
        """Asks once, and insists after a moment: kube-apiserver would wait a minute for its watches."""
        if name not in self.ending:
            self.ending[name] = time.monotonic() + INSIST_AFTER
            os.kill(self.pids[name], signal.SIGTERM)
        elif time.monotonic() >= self.ending[name]:
            os.kill(self.pids[name], signal.SIGKILL)

    def reap(self):
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for name, running in list(self.pids.items()):
                if running == pid:
                    del self.pids[name]
                    self.ending.pop(name, None)
                    self.not_before[name] = time.monotonic() + RESTART_AFTER

    def step(self, names: list[str]):
        self.reap()
        for name in names:
            held = (self.state / "hold" / name).exists()
            if name in self.pids and (held or name in self.ending):
                self.end(name)
            elif not held and name not in self.pids and time.monotonic() >= self.not_before[name]:
                self.start(name)
        time.sleep(TICK)

    def run(self):
        while not api_ready(self.state):
            self.step(self.first)
        while True:
            self.step(list(self.programs))


def main() -> int:
    state = Path(sys.argv[1])
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    for directory in ("logs", "hold"):
        shutil.rmtree(state / directory, ignore_errors=True)
        (state / directory).mkdir()
    os.environ.update({"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"})
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]
    command("hostname", configuration.NODE)
    mount(state)
    network()
    Supervisor(state).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
