#!/usr/bin/env python3
"""Fails where docs/ and the tree disagree: links, metrics, flags, manifest fields, pin reasons, modules, commands, length."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/layers"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
import commands  # noqa: E402
import registry  # noqa: E402
from table import MODULES  # noqa: E402

MOST_LINES = 200  # of architecture.md
PROGRAMS = {"dbproxy": "proxy/main.cpp", "dbproxy-operator": "operator/main.cpp", "dbproxyctl": "operator/ctl/main.cpp"}
LOG_FLAGS = "proxy/base/log_flags.hpp"
PREFIXES = ("dbproxy", "dbproxy_operator")  # of ManifestSource's metrics: in the sidecar and in the operator
OF_CLI11 = {"--help"}
METRIC = r"(?:dbproxy|process)_[a-z0-9_]*[a-z0-9]"

failures: list[str] = []


def fail(where: str, what: str):
    failures.append(f"{where}: {what}")


def both_ways(what: str, written: set[str], real: set[str]):
    for name in sorted(real - written):
        fail("docs/reference.md", f"{what} {name} is missing")
    for name in sorted(written - real):
        fail("docs/reference.md", f"{what} {name} is not in the source")


def sources() -> list[Path]:
    return sorted(path for top in ("proxy", "operator") for path in (ROOT / top).rglob("*.[ch]pp"))


def logging_modules() -> set[str]:
    call = re.compile(r"log::(?:(?:debug|info|warn|error)\(|write\([^,]+,)\s*\"([a-z_]+)\"")
    return {name for path in sources() for name in call.findall(path.read_text())}


def check_log_modules():
    """What logs, what can be given a level, and what operations.md says of each are the same."""
    known = re.search(r"kModules\[\] = \{(.*?)\};", (ROOT / "proxy/base/log.cpp").read_text(), re.S)
    told = set(first_cells(section((ROOT / "docs/operations.md").read_text(), "Logs", 2)))
    for name in sorted(logging_modules() ^ set(re.findall(r'"(\w+)"', known[1]))):
        fail("proxy/base/log.cpp", f"kModules and what is logged differ in {name}")
    for name in sorted(logging_modules() ^ told):
        fail("docs/operations.md", f"the table of modules and what is logged differ in {name}")


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)


def section(text: str, title: str, level: int) -> str:
    """From a heading to the next one of the same level or above."""
    found = re.search(rf"^#{{{level}}} {re.escape(title)}$(.*?)(?=^#{{1,{level}}} |\Z)", text, re.M | re.S)
    if not found:
        fail("docs/reference.md", f"the section {title} is missing")
    return found[1] if found else ""


def first_cells(text: str) -> list[str]:
    """Everything in backticks in the first column of the section's tables."""
    rows = re.findall(r"^\| *(`.*?`) *\|", text, re.M)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def anchors(text: str) -> set[str]:
    out = set()
    for heading in re.findall(r"^#+ (.*)$", without_code(text), re.M):
        words = re.sub(r"[^\w\- ]", "", heading.lower())
        out.add(words.replace(" ", "-"))
    return out


def check_links():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        name = str(page.relative_to(ROOT))
        for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text())):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            to = page if not path else page.parent / path
            if not to.exists():
                fail(name, f"the link to {target} leads nowhere")
            elif anchor and to.suffix == ".md" and anchor not in anchors(to.read_text()):
                fail(name, f"the link to {target} names no heading")


def check_architecture():
    text = (ROOT / "docs/architecture.md").read_text()
    lines = len(text.splitlines())
    if lines >= MOST_LINES:
        fail("docs/architecture.md", f"has {lines} lines; under {MOST_LINES} is wanted")
    rows = re.findall(r"^\| *(\d) *\| *([^|]*)\|", text, re.M)
    written = {(name, int(layer)) for layer, names in rows for name in re.findall(r"`([^`]+)`", names)}
    for directory, layer in MODULES:
        top, _, module = directory.partition("/")
        if (directory, layer) not in written and not any(name == directory for name, _ in written):
            fail("docs/architecture.md", f"module {directory} is missing from the table of layers")
        elif (directory, layer) not in written:
            fail("docs/architecture.md", f"module {directory} is not of layer {layer}")
    for name, _ in sorted(written - set(MODULES)):
        if name not in {directory for directory, _ in MODULES}:
            fail("docs/architecture.md", f"there is no module {name}")


def check_metrics(reference: str):
    real = set()
    for path in sources():
        for line in path.read_text().splitlines():
            if "metrics_prefix =" not in line:
                real.update(re.findall(rf'"({METRIC})"', line))
            real.update(prefix + end for end in re.findall(r'metrics_prefix \+ "(\w+)"', line) for prefix in PREFIXES)
    text = section(reference, "Metrics", 2)
    both_ways("metric", set(first_cells(text)), real)
    for name in set(re.findall(METRIC, (ROOT / "docs/metrics.md").read_text())):
        if re.sub(r"_(sum|count|bucket)$", "", name) not in real:
            fail("docs/metrics.md", f"there is no metric {name}")
    for name, kind in re.findall(r"^\| *`([a-z0-9_]+)` *\| *(\w+) *\|", text, re.M):
        if (kind == "counter") != name.endswith("_total"):
            fail("docs/reference.md", f"{name} is not a {kind}")


def flags_source(program: str) -> str:
    text = (ROOT / PROGRAMS[program]).read_text()
    return text + (ROOT / LOG_FLAGS).read_text() if f'"{LOG_FLAGS}"' in text else text


def check_flags(reference: str):
    for program in PROGRAMS:
        source = flags_source(program)
        call = r'(?:add_option|add_flag|set_version_flag)(?:_function<[^>]*>)?\(\s*"(-[^"]*)"'
        real = {name for names in re.findall(call, source)
                for name in names.split(",") if name.startswith("--")}
        written = {word for cell in first_cells(section(reference, program, 3)) for word in re.findall(r"--[a-z-]+", cell)}
        both_ways(f"{program}'s flag", written - OF_CLI11, real)
    for page in sorted((ROOT / "docs").glob("*.md")):
        # Of what is run by way of kubectl only what stands behind --.
        text = re.sub(r"^ *(?:kubectl|helm) .*?(?: -- |$)", " ", page.read_text(), flags=re.M)
        for program in PROGRAMS:
            real = set(re.findall(r'"(?:-\w,)?(--[a-z-]+)"', flags_source(program))) | OF_CLI11
            for line in re.findall(rf"(?:^|[ `/]){re.escape(program)} ([^\n|`]*)", text):
                for flag in re.findall(r"(?:^| )(--[a-z-]+)", line):
                    if flag not in real:
                        fail(str(page.relative_to(ROOT)), f"{program} has no {flag}")


def check_fields(reference: str):
    real = set()
    for name in ("auth", "core_objects", "db_proxy", "target_groups", "tls"):
        text = (ROOT / f"proxy/manifest/{name}.cpp").read_text()
        reads = r'(?:\.|->)(?:text|integer|duration|boolean|choice|map|maps|texts|text_map|integers)\("(\w+)"'
        real.update(re.findall(reads, text))
    written = set()
    for cell in first_cells(section(reference, "Manifests", 2)):
        written.update(re.sub(r"\[\]", "", part) for part in cell.split("."))
    of_every_object = {"spec", "metadata", "namespace"}
    both_ways("field", written - of_every_object, real - of_every_object)


def check_pins(reference: str):
    text = (ROOT / "proxy/session/postgres/pin_reason.cpp").read_text()
    both_ways("pin reason", set(first_cells(section(reference, "Pins", 2))),
              set(re.findall(r'return "(\w+)"', text)) - {"unknown"})


def check_events():
    """docs/events.md has a row for each reason that the sources post, of the right type, and no other."""
    text = (ROOT / "docs/events.md").read_text()
    written = dict(re.findall(r"^\| `([A-Z]\w+)` \| \w+ \| (\w+) \|", text, re.M))
    for name, event in registry.events().items():
        if name not in written:
            fail("docs/events.md", f"the reason {name} is missing")
        elif written[name] != ("Warning" if event.warning else "Normal"):
            fail("docs/events.md", f"{name} is no {written[name]}")
    for name in sorted(set(written) - set(registry.events())):
        fail("docs/events.md", f"nothing posts {name}")


_STRING = r'"(?:[^"\\]|\\.)*"'
_TEXT = rf"{_STRING}(?:\s*{_STRING})*"


def refusals() -> set[str]:
    """What the proxy says to clients of PostgreSQL by itself: each text up to where it takes in something else."""
    places = [path for path in registry.sources("proxy/session/postgres", "proxy/worker", "proxy/wire/postgres")
              if "mysql" not in path.parts]
    out = set()
    for path in places:
        text = path.read_text()
        found = re.findall(rf'"[0-9A-Z]{{5}}",\s*(?:std::string\()?({_TEXT})', text)
        found += re.findall(rf"Trouble::k\w+,\s*(?:std::string\()?({_TEXT})", text)
        found += re.findall(rf"\.message =\s*(?:std::string\()?({_TEXT})", text)
        found += re.findall(rf"BadStartup\{{({_TEXT})", text)
        out.update(registry.literal(each) for each in found)
    return {each for each in out if " " in each.strip()}


def covers(documented: str, text: str) -> bool:
    """Whether they are the same as far as both say something fixed: in `documented` up to … or N."""
    if documented.startswith("…"):
        return text.endswith(documented.strip("… "))
    fixed = re.split("…| N |: …", documented)[0].rstrip(' "')
    return len(fixed) > 5 and (text.startswith(fixed) or fixed.startswith(text))


def check_errors(reference: str):
    """Every refusal is in the table of errors."""
    cells = re.findall(r"^\| [^|]+ \| (?:FATAL|ERROR|NOTICE) \| ([^|]*) \|", section(reference, "Errors", 2), re.M)
    documented = [text for cell in cells for text in re.findall(r"`([^`]+)`", cell)]
    for text in sorted(refusals()):
        if not any(covers(each, text.rstrip(' "')) for each in documented):
            fail("docs/reference.md", f"the error {text!r} is missing from Errors")


def check_mysql_errors():
    numbers = {name: number for name, number in
               re.findall(r"constexpr std::uint16_t (k\w+) = (\d{4})", "".join(
                   path.read_text() for path in registry.sources("proxy/wire/mysql", "proxy/session/mysql", "proxy/worker/mysql")))}
    used = set()
    for path in registry.sources("proxy/session/mysql", "proxy/worker/mysql"):
        text = path.read_text()
        used.update(re.findall(r'\b(?:wire::)?(?:error::)?(k[A-Z]\w+|\d{4}), "[0-9A-Z]{5}",', text))
        used.update(re.findall(r"\.code = (?:wire::)?(?:error::)?(k[A-Z]\w+|\d{4}), \.sqlstate", text))
    written = set(re.findall(r"\b\d{4}\b", section((ROOT / "docs/mysql.md").read_text(), "Errors of the proxy's own", 2)))
    for each in sorted(used):
        number = numbers.get(each, each)
        if number not in written:
            fail("docs/mysql.md", f"the error {number} is missing")


def check_alerts():
    """Each alert of the chart has a paragraph in operations.md, which is more than a heading."""
    operations = (ROOT / "docs/operations.md").read_text()
    for anchor in re.findall(r"#(alert-[a-z-]+)$", (ROOT / "helm/dbproxy/templates/prometheusrule.yaml").read_text(), re.M):
        title = anchor.removeprefix("alert-").replace("-", " ")
        if len(section(operations, f"Alert: {title}", 3).split()) < 15:
            fail("docs/operations.md", f"what to do about the alert {title} is not said")


def check_scenarios():
    """docs/pgbouncer-scenarios.md names tests that there are."""
    where = "docs/pgbouncer-scenarios.md"
    for cell in re.findall(r"^\|[^|]*\|[^|]*\|([^|]*)\|$", (ROOT / where).read_text(), re.M):
        for file, name in re.findall(r"`([\w/]+): (\w+)`", cell):
            path = next((path for path in (ROOT / f"tests/{file}.py", ROOT / f"tests/{file}.cpp") if path.exists()), None)
            text = path.read_text() if path else ""
            if not re.search(rf"def test_{name}\(|TEST(?:_F|_P)?\(\w+, {name}\)", text):
                fail(where, f"there is no test {file}: {name}")
            for scenario in re.findall(r'"([^"]+)"', cell) if name == "word_for_word" else []:
                if f'"{scenario}":' not in text:
                    fail(where, f"{file} has no scenario {scenario!r}")


def main() -> int:
    reference = (ROOT / "docs/reference.md").read_text()
    check_links()
    check_log_modules()
    check_architecture()
    check_metrics(reference)
    check_flags(reference)
    check_fields(reference)
    check_pins(reference)
    check_events()
    check_errors(reference)
    check_mysql_errors()
    check_alerts()
    check_scenarios()
    failures.extend(commands.failures())
    for failure in failures:
        print(failure)
    print(f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
