"""The HTTP pages of a sidecar or an operator: plain, JSON, and Prometheus' text format."""

import http.client
import json
import re

_SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


def request(address: str, path: str, method: str = "GET", timeout: float = 5) -> tuple[int, str]:
    """(status, body) of http://address/path."""
    connection = http.client.HTTPConnection(address, timeout=timeout)
    try:
        connection.request(method, path, headers={"Connection": "close"})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def get(address: str, path: str) -> str:
    status, body = request(address, path)
    if status != 200:
        raise RuntimeError(f"GET {path} from {address}: {status} {body[:300]}")
    return body


def get_json(address: str, path: str):
    return json.loads(get(address, path))


class Metrics:
    """One scrape."""

    def __init__(self, text: str):
        self.text = text
        self.samples: list[tuple[str, dict, float]] = []
        for line in text.splitlines():
            found = _SAMPLE.match(line)
            if found and not line.startswith("#"):
                self.samples.append((found[1], dict(_LABEL.findall(found[2] or "")), float(found[3])))

    def sum(self, name: str, **labels) -> float:
        """Of all series of that name that have these labels; 0 where there is none."""
        return sum(value for sample, has, value in self.samples
                   if sample == name and all(has.get(key) == want for key, want in labels.items()))

    def has(self, name: str) -> bool:
        return any(sample == name for sample, _, _ in self.samples)
