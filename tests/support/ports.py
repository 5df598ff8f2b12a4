"""Free TCP ports, outside the range from which the kernel gives ports to outgoing connections."""

import random
import socket

_given: set[int] = set()


def free_port(*addresses: str) -> int:
    """A port that is free on all of these addresses (default 127.0.0.1) and was not given before."""
    for _ in range(1000):
        port = random.randint(10240, 32000)
        if port in _given or not all(_is_free(address, port) for address in addresses or ("127.0.0.1",)):
            continue
        _given.add(port)
        return port
    raise RuntimeError("no free port found")


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((address, port))
            return True
        except OSError:
            return False
