"""How the measurements of the operator say what they found, and the page of docs/ that is made of it."""

import datetime
import json
import os
from pathlib import Path

from support import paths
from support.process import run

PAGE = "benchmarks-operator.md"
HEAD = """# The operator: measured

`make bench-operator` writes this page: a real operator with a real PostgreSQL behind it. The streams are simulated
sidecars, each with a TLS connection and a token of its own, which answer as real ones do; the crowd is in a real
kube-apiserver, its pods without a kubelet. All of it shares one machine: CPU is the operator's own, memory is what it
has resident, and times go up with the load that the machine had besides, which is told.
"""


def say(text):
    print(f"  {text}  (load {os.getloadavg()[0]:.1f})", flush=True)


def add_arguments(parser, out: Path):
    parser.add_argument("--out", type=Path, default=out)
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a goal is missed")
    parser.add_argument("--docs", type=Path, help=f"directory in which {PAGE} is written anew, of all figures beside --out")


def table(result, goals, title, rows, without_goal) -> list[str]:
    lines = [f"| {title} | measured | goal |", "|---|---|---|"]
    lines += [f"| {text} | {result[name]:.1f} {unit} | ≤ {goals[name]:g} {unit} |" for text, name, unit in rows]
    return [*lines, *without_goal]


def write_page(docs: Path, figures: Path):
    """Of all that was measured there, whichever of them it was last."""
    parts = [HEAD]
    for file in ("operator.json", "crowd.json", "budget.json"):
        if (figures / file).exists():
            result = json.loads((figures / file).read_text())
            if "title" not in result:
                continue  # written by a version that made no page
            commit = f", commit {result['revision']}" if "revision" in result else ""
            parts.append("\n".join([f"## {result['title']}", "", f"{result['date']}{commit}, {result['cores']} cores, load "
                                    f"{result['load_before']:.1f} before and {result['load']:.1f} after.", "",
                                    *result["table"]]) + "\n")
    (docs / PAGE).write_text("\n".join(parts))


def revision() -> str:
    """The commit that the programs were built from, as they say."""
    return run([paths.release_binary("dbproxyctl"), "version"]).stdout.partition("(")[2].partition(",")[0]


def finish(result, goals, title, rows, options, without_goal=()) -> int:
    """Writes the figures and prints them against their goals; the exit status.

    rows: (text, name in result and goals, unit); without_goal: whole lines more.
    """
    lines = table(result, goals, "", rows, without_goal)
    result |= {"title": title, "table": lines, "date": f"{datetime.date.today()}", "revision": revision()}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    if options.docs:
        write_page(options.docs, options.out.parent)
    print("\n".join(["", title, "", *lines]))
    missed = [name for name, goal in goals.items() if result[name] > goal]
    if missed:
        print("missed: " + ", ".join(missed))
    return 1 if missed and options.strict else 0
