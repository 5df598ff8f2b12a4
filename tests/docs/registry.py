"""What the sources register: metrics with their kind, help and labels, and the reasons of Events. Read as text."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PREFIXES = ("dbproxy", "dbproxy_operator")  # of ManifestSource's metrics: in the sidecar and in the operator
_STRING = r'"(?:[^"\\]|\\.)*"'
_TEXT = rf"{_STRING}(?:\s*{_STRING})*"
_MAKER = r"\b(counter|gauge|seconds_gauge|histogram|info_family|gauge_family|counter_family)\(\s*"


@dataclass
class Metric:
    name: str
    kind: str
    help: str


def sources(*tops: str) -> list[Path]:
    return sorted(path for top in tops or ("proxy", "operator") for path in (ROOT / top).rglob("*.[ch]pp"))


def literal(text: str) -> str:
    """Adjacent string literals as the one that the compiler makes of them."""
    return "".join(bytes(each[1:-1], "utf-8").decode("unicode_escape").encode("latin-1").decode("utf-8")
                   for each in re.findall(_STRING, text))


def _constants(text: str) -> dict[str, str]:
    return {name: literal(value) for name, value in
            re.findall(rf"constexpr (?:const char\*|std::string_view) (k\w+)(?:\[\])? =\s*({_TEXT});", text)}


def metrics() -> dict[str, Metric]:
    out: dict[str, Metric] = {}
    for path in sources():
        text = path.read_text()
        if path.name == "pgbouncer.cpp":
            continue
        constants = _constants(text)
        for found in re.finditer(rf"{_MAKER}(?:(options\.metrics_prefix|metrics_prefix) \+ )?({_TEXT}|k\w+),\s*({_TEXT}|k\w+)",
                                 text):
            kind, prefix, name, help_text = found.groups()
            name = constants.get(name, "") if name.startswith("k") else literal(name)
            help_text = constants.get(help_text, "") if help_text.startswith("k") else literal(help_text)
            kind = {"seconds_gauge": "gauge", "info_family": "gauge"}.get(kind, kind.removesuffix("_family"))
            for full in [each + name for each in PREFIXES] if prefix else [name]:
                if re.fullmatch(r"(?:dbproxy|process)_\w+", full):
                    out.setdefault(full, Metric(full, kind, help_text))
        # `put(name, help, …)` of counts that another class keeps.
        for name, help_text in re.findall(rf'\bput\(\s*("dbproxy_\w+"),\s*({_TEXT})', text):
            out.setdefault(literal(name), Metric(literal(name), "counter", literal(help_text)))
        for name, help_text, kind in re.findall(rf'\bsingle\(\s*("process_\w+"),\s*({_TEXT}),\s*Type::(\w+)', text):
            out.setdefault(literal(name), Metric(literal(name), kind.lower(), literal(help_text)))
    return out


@dataclass
class Event:
    reason: str
    action: str
    warning: bool


def events() -> dict[str, Event]:
    out = {}
    for path in sources("operator"):
        for warning, reason, action in re.findall(r'\b(true|false),\s*"([A-Z]\w+)",\s*"([A-Z]\w+)",', path.read_text()):
            out[reason] = Event(reason, action, warning == "true")
    # Degraded's reasons are those of its Events, too.
    named = dict(re.findall(r'(k\w+) = "([A-Z]\w+)"', (ROOT / "operator/status/status.hpp").read_text()))
    across = (ROOT / "operator/status/across.cpp").read_text()
    for text, name in re.findall(r'degrade\(\s*[^"]*?,\s*(?:"([A-Z]\w+)"|(k[A-Z]\w+))', across):
        word = text or named[name]
        out[word] = Event(word, "Compare", True)
    return out
