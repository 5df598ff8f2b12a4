"""A network namespace whose only link is a bridge on which packets can be made to vanish: no RST, no answer, nothing.

Needs root. Whoever is started with `enter` runs in it; what is listened to at `outside` can be reached from there, and
`inside` from here.
"""

import contextlib
import os
import random
import shutil

import pytest

from .process import run


def require():
    """Skips a test where there is no namespace to be had; in CI that is a failure."""
    if os.geteuid() == 0 and shutil.which("nft") and shutil.which("ip"):
        return
    if os.environ.get("CI") == "true":
        pytest.fail("network namespaces need root, nftables and iproute2: as root, run cmake/setup.sh test")
    pytest.skip("network namespaces need root, nftables and iproute2: as root, run cmake/setup.sh test")


class Namespace:
    def __init__(self):
        self.name = f"dbp{os.getpid()}x{random.randrange(1000)}"
        self._bridge = f"{self.name}b"  # a namespace as well
        net = f"10.{random.randrange(200, 250)}.{random.randrange(256)}"
        self.outside, self.inside = f"{net}.1", f"{net}.2"
        self.enter = ["ip", "netns", "exec", self.name]

    def __enter__(self):
        here = f"h{self.name}"[:15]
        on_bridge = ["ip", "netns", "exec", self._bridge]
        try:
            for name in (self.name, self._bridge):
                run(["ip", "netns", "add", name])
            run(["ip", "link", "add", here, "type", "veth", "peer", "name", "out", "netns", self._bridge])
            run([*on_bridge, "ip", "link", "add", "in", "type", "veth", "peer", "name", "eth0", "netns", self.name])
            run([*on_bridge, "ip", "link", "add", "bridge", "type", "bridge"])
            for link in ("out", "in"):
                run([*on_bridge, "ip", "link", "set", link, "master", "bridge", "up"])
            run([*on_bridge, "ip", "link", "set", "bridge", "up"])
            run(["ip", "address", "add", f"{self.outside}/30", "dev", here])
            run(["ip", "link", "set", here, "up"])
            run([*self.enter, "ip", "address", "add", f"{self.inside}/30", "dev", "eth0"])
            for link in ("lo", "eth0"):
                run([*self.enter, "ip", "link", "set", link, "up"])
            for name, family, hook in ((self._bridge, "bridge", "forward"), (self.name, "inet", "output")):
                self._nft(name, f"add table {family} faults")
                self._nft(name, f"add chain {family} faults {hook} {{ type filter hook {hook} priority 0 ; }}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for name in (self.name, self._bridge):  # their links go with them
            with contextlib.suppress(Exception):
                run(["ip", "netns", "del", name])

    def drop(self, port: int):
        """Nothing passes between the namespace and this port outside any more, in either direction."""
        for which in ("dport", "sport"):
            self._nft(self._bridge, f"add rule bridge faults forward tcp {which} {port} drop")

    def drop_at_once(self, port: int):
        """The same where it is sent, so that sending fails in the kernel: as where a link of its own is broken."""
        self.drop(port)
        self._nft(self.name, f"add rule inet faults output tcp dport {port} drop")

    def heal(self):
        self._nft(self._bridge, "flush table bridge faults")
        self._nft(self.name, "flush table inet faults")

    @staticmethod
    def _nft(name: str, command: str):
        run(["ip", "netns", "exec", name, "nft", *command.split()])
