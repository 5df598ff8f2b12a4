#!/usr/bin/env python3
"""Writes the pages of docs/ that are made from the tree: docs/crds.md of crds/, docs/metrics.md of what the sources register.

  generate.py [--check]     --check only says which of them are not as they would be written
"""

import re
import sys
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent))
import registry  # noqa: E402
from cloudwatch import METRICS  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "build/testbed/venv/bin/python tests/docs/generate.py"
MADE = f"<!-- Made by tests/docs/generate.py: edit {{}}, then run {COMMAND} -->\n"


def one_line(text) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")


# ---- docs/crds.md ---------------------------------------------------------------------------------------------------

def type_of(schema: dict) -> str:
    kind = schema.get("type", "any")
    if schema.get("x-kubernetes-int-or-string"):
        return "integer or text"
    if kind == "array":
        return f"list of {type_of(schema['items'])}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"map of {type_of(schema['additionalProperties'])}"
    return {"string": "text"}.get(kind, kind)


def bounds(schema: dict) -> str:
    out = []
    if "minimum" in schema or "maximum" in schema:
        out.append(f"{schema.get('minimum', '')}–{schema.get('maximum', '')}")
    for name, text in (("maxLength", "at most {} characters"), ("maxItems", "at most {}"), ("maxProperties", "at most {}")):
        if name in schema:
            out.append(text.format(schema[name]))
    if "pattern" in schema:
        out.append(f"`{schema['pattern']}`".replace("|", "\\|"))
    if "enum" in schema:
        out.append(", ".join(f"`{each}`" for each in schema["enum"]))
    return ", ".join(out)


def rows(schema: dict, path: str):
    """(path, schema) of every field, in the order of the file."""
    for name, child in schema.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        yield here, child
        inner = child
        while inner.get("type") == "array":
            here, inner = here + "[]", inner["items"]
        yield from rows(inner, here)


def rules(schema: dict, path: str):
    """(path, sentence) of every rule that is not about one field's presence alone."""
    for rule in schema.get("x-kubernetes-validations", []):
        yield path + rule.get("fieldPath", ""), rule.get("message") or f"`{rule['messageExpression']}`"
    for name, child in schema.get("properties", {}).items():
        here, inner = (f"{path}.{name}" if path else name), child
        yield from rules({"x-kubernetes-validations": child.get("x-kubernetes-validations", [])}, here)
        while inner.get("type") == "array":
            here, inner = here + "[]", inner["items"]
            yield from rules({"x-kubernetes-validations": inner.get("x-kubernetes-validations", [])}, here)
        yield from rules({"properties": inner.get("properties", {})}, here)


def crds() -> str:
    out = [MADE.format("crds/*.yaml"), "# The resources, field by field\n",
           "What `kubectl explain` knows, on one page. What each field means, its default where the operator gives it, and "
           "what is acted on: [reference](reference.md#manifests).\n"]
    for file in sorted((ROOT / "crds").glob("*.yaml")):
        crd = yaml.safe_load(file.read_text())
        names, version = crd["spec"]["names"], crd["spec"]["versions"][0]
        schema = version["schema"]["openAPIV3Schema"]
        out.append(f"## {names['kind']}\n")
        out.append(f"`apiVersion: {crd['spec']['group']}/{version['name']}`, {crd['spec']['scope'].lower()}; short name "
                   f"`{names['shortNames'][0]}`. {one_line(schema['description'])}\n")
        columns = version["additionalPrinterColumns"]
        out.append("`kubectl get` shows " + ", ".join(each["name"] for each in columns if not each.get("priority")) +
                   "; with `-o wide` also " + ", ".join(each["name"] for each in columns if each.get("priority")) + ".\n")
        for part in ("spec", "status"):
            out.append(f"| `{part}` | type | bounds | default | |\n|---|---|---|---|---|")
            for path, each in rows(schema["properties"][part], ""):
                default = f"`{each['default']}`" if "default" in each else ""
                if isinstance(each.get("default"), bool):
                    default = f"`{str(each['default']).lower()}`"
                out.append(f"| `{path}` | {type_of(each)} | {bounds(each)} | {default} | {one_line(each.get('description', ''))} |")
            out.append("")
        out.append("Refused by the API server, with these words after the field's name:\n")
        seen = set()
        for path, message in rules(schema, ""):
            line = f"- `{path or 'the object'}` {one_line(message)}"
            if line not in seen:
                seen.add(line)
                out.append(line)
        out.append("")
    return "\n".join(out)


# ---- docs/metrics.md ------------------------------------------------------------------------------------------------

def metrics() -> str:
    real = registry.metrics()
    used = set()
    out = [MADE.format("tests/docs/cloudwatch.py, or the texts where the sources register a metric"), "# Metrics\n",
           "Labels and meanings in full: [reference](reference.md#metrics). They are the same for PostgreSQL and MySQL; what is "
           "special to an engine is the value of a label, such as the `reason` of a pin.\n",
           "## From CloudWatch's metrics to these\n",
           "Every metric of RDS Proxy, and where it is here. Each has the label `proxy`, and `target` where a database is "
           "meant; sum over pods for what CloudWatch shows of a proxy. Averages are histograms here: "
           "`histogram_quantile(0.99, sum by (le) (rate(dbproxy_query_seconds_bucket[5m])))`.\n",
           "| RDS Proxy | here | type |\n|---|---|---|"]
    for theirs, here in METRICS:
        names = [re.sub(r"_(sum|count|bucket)$", "", each) for each in re.findall(r"dbproxy_[a-z0-9_]*[a-z0-9]", here)]
        for name in names:
            if name not in real:
                raise SystemExit(f"tests/docs/cloudwatch.py: there is no metric {name}")
        used.update(names)
        kinds = sorted({real[each].kind for each in names})
        out.append(f"| {theirs} | {here} | {', '.join(kinds)} |")
    out.append("\n`GET /metrics` answers in OpenMetrics where the scrape asks for it. `GET /metrics?format=pgbouncer` has the "
               "names of\nPgBouncer's exporter (`pgbouncer_pools_…`, `pgbouncer_stats_…`, `pgbouncer_databases_…`), so that "
               "dashboards and alerts\nthat exist go on working; what is counted for a DBProxy as a whole has its name there as "
               "`database`.\n")
    out.append("Histograms have the buckets 50 µs, 100 µs, 200 µs … 52 s, 105 s: each twice the one before, so that a "
               "quantile is off by\nless than a factor of two anywhere between a look-up in memory and the longest wait.\n")
    out.append("## Everything that is registered\n")
    out.append("A star: one of CloudWatch's is made of it.\n")
    for title, wanted in (("Of a sidecar", r"dbproxy_(?!operator_|build_)"), ("Of the operator", "dbproxy_operator_"),
                          ("Of both", "process_|dbproxy_build_")):
        out.append(f"### {title}\n\n| name | type | help |\n|---|---|---|")
        for name in sorted(real):
            if re.match(wanted, name):
                star = " ★" if name in used else ""
                out.append(f"| `{name}`{star} | {real[name].kind} | {one_line(real[name].help)} |")
        out.append("")
    return "\n".join(out)


PAGES = {"docs/crds.md": crds, "docs/metrics.md": metrics}


def main() -> int:
    check, stale = "--check" in sys.argv[1:], 0
    for page, make in PAGES.items():
        text, path = make().rstrip("\n") + "\n", ROOT / page
        if path.exists() and path.read_text() == text:
            continue
        stale += 1
        print(f"{page} is not what the tree says: run {COMMAND}" if check else f"wrote {page}")
        if not check:
            path.write_text(text)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
