"""The tables: for the terminal, as Markdown, and the goals that are held against them."""

import json
import os

from . import picture
from .measure import Sample

GOAL_FLOOR = 1.25              # CPU per transaction, times the bare relay
GOAL_IDLE_RSS = 20 * 2**20     # of the sidecar
GOAL_PER_CLIENT = 4 * 1024     # an idle client without TLS


def cell(value, form, ratio=None):
    if value is None:
        return "n/a"
    text = form.format(value)
    return f"{text} ({ratio:.2f}×)" if ratio is not None else text


def get(results, name, mode, clients, field):
    sample = results.get((name, mode, clients))
    return getattr(sample, field) if isinstance(sample, Sample) else None


def divide(a, b):
    return a / b if a is not None and b else None


def markdown_table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join([" --- "] + [" ---: "] * (len(head) - 1)) + "|"]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def plain_table(head, rows):
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    def line(row):
        return "  ".join(text.ljust(w) if i == 0 else text.rjust(w) for i, (text, w) in enumerate(zip(row, widths)))
    return [line(head), "  ".join("-" * w for w in widths), *map(line, rows)]


def metric_rows(run, field, form, base=None):
    """Rows of one metric over all modes and client counts; with `base` (a candidate's name) as ratios beside."""
    rows = []
    for name, title in run["candidates"]:
        if field == "cpu_us" and name == "direct":
            continue
        row = [title]
        for mode in run["modes"]:
            for clients in run["clients"]:
                value = get(run["results"], name, mode, clients, field)
                row.append(cell(value, form, divide(value, get(run["results"], base, mode, clients, field))
                                if base and name != base else None))
        rows.append(row)
    return rows


def ratio_rows(run, base):
    rows = []
    for name, title in run["candidates"]:
        if name in ("direct", base):
            continue
        row = [title]
        for mode in run["modes"]:
            for clients in run["clients"]:
                ratio = divide(get(run["results"], name, mode, clients, "cpu_us"),
                               get(run["results"], base, mode, clients, "cpu_us"))
                row.append("n/a" if ratio is None else f"{ratio:.2f}×")
        rows.append(row)
    return rows


def sections(run):
    head = [""] + [f"{mode} {clients}" for mode in run["modes"] for clients in run["clients"]]
    yield ("CPU of the proxy per transaction, µs (and times the floor)", head,
           metric_rows(run, "cpu_us", "{:.1f}", "relay"))
    if any(name == "pgbouncer" for name, _ in run["candidates"]):
        yield "CPU per transaction, times PgBouncer's", head, ratio_rows(run, "pgbouncer")
    yield "Latency, median, ms", head, metric_rows(run, "p50_ms", "{:.3f}")
    yield "Latency, 99th percentile, ms", head, metric_rows(run, "p99_ms", "{:.3f}")
    yield "Transactions per second", head, metric_rows(run, "tps", "{:.0f}")
    if run["memory"]:
        yield "Memory", ["", "idle process", "per idle client", "crowd", "RSS", "tps", "p99"], memory_rows(run)


def memory_rows(run):
    rows = []
    titles = dict(run["candidates"])
    for name, row in run["memory"].items():
        rows.append([
            titles[name], cell(megabytes(row.get("idle_rss")), "{:.1f} MB"),
            cell(divide(row.get("per_client"), 1024), "{:.2f} KB"),
            f"{row['crowd']} idle + {row['busy']} busy" if "crowd" in row else "n/a",
            cell(megabytes(row.get("crowd_rss")), "{:.1f} MB"), cell(row.get("crowd_tps"), "{:.0f}"),
            cell(row.get("crowd_p99_ms"), "{:.1f} ms")])
    return rows


def megabytes(value):
    return None if value is None else value / 2**20


def reasons(run):
    """Why something is n/a, each reason once."""
    seen = []
    for (name, mode, _), value in run["results"].items():
        if isinstance(value, str):
            line = f"{dict(run['candidates'])[name]}, {mode}: {value}"
            if line not in seen:
                seen.append(line)
    for name, row in run["memory"].items():
        for key in ("reason", "crowd_reason"):
            if key in row:
                seen.append(f"{dict(run['candidates'])[name]}, memory: {row[key]}")
    return seen


def goals(run):
    """[(what, value in words, True | False | None where it could not be measured)]."""
    results, out = run["results"], []
    cells = [(mode, clients) for mode in run["modes"] for clients in run["clients"]]

    def worst(field, base):
        ratios = [(divide(get(results, "dbproxy", *c, field), get(results, base, *c, field)), c) for c in cells]
        ratios = [entry for entry in ratios if entry[0] is not None]
        return max(ratios) if ratios else (None, None)

    for what, field, base, limit in ((f"CPU per transaction at most {GOAL_FLOOR} × the floor", "cpu_us", "relay",
                                      GOAL_FLOOR),
                                     ("CPU per transaction below PgBouncer's", "cpu_us", "pgbouncer", 1.0),
                                     ("p99 at most PgBouncer's", "p99_ms", "pgbouncer", 1.0)):
        ratio, where = worst(field, base)
        out.append((what, "n/a" if ratio is None else f"worst {ratio:.2f}× ({where[0]}, {where[1]} clients)",
                    None if ratio is None else ratio <= limit))
    memory = run["memory"].get("dbproxy", {})
    for what, key, limit, unit, scale in (("idle sidecar at most 20 MB", "idle_rss", GOAL_IDLE_RSS, "MB", 2**20),
                                          ("idle client at most 4 KB", "per_client", GOAL_PER_CLIENT, "KB", 1024),
                                          ("a scrape with 1,000 clients or more below 2 ms", "scrape_ms", 2, "ms", 1),
                                          ("the page that it reads below 100 KB", "scrape_bytes", 100 * 1024, "KB", 1024)):
        value = memory.get(key)
        out.append((what, "n/a" if value is None else f"{value / scale:.2f} {unit}",
                    None if value is None else value <= limit))
    if memory:
        served = "crowd_tps" in memory and "reason" not in memory
        out.append(("5,000 idle clients and 200 busy ones in one sidecar",
                    f"{memory['crowd']} + {memory['busy']}, {memory['crowd_tps']:.0f} tps" if served else "n/a",
                    memory["crowd"] >= 5000 and memory["busy"] >= 200 if served else None))
    return out


VERDICT = {True: "reached", False: "MISSED", None: "not measured"}


def terminal(run):
    for title, head, rows in sections(run):
        yield ""
        yield title
        yield from plain_table(head, rows)
    yield ""
    yield from plain_table(["goal", "measured", ""], [[w, v, VERDICT[ok]] for w, v, ok in goals(run)])
    for line in reasons(run):
        yield f"n/a: {line}"


def markdown(run, picture_name):
    lines = ["# Benchmarks", "",
             f"`{run['command']}`, {run['date']}, {run['machine']}; {run['versions']}.", "",
             f"`pgbench -S`, scale {run['scale']}, loopback TCP without TLS on any hop, one pgbench thread, pools of "
             f"{run['pool']} server connections, "
             f"{run['repeats']} rounds of {run['seconds']:g} s with the candidates taking turns; medians. The machine is shared by "
             "pgbench, the proxy and the database, and by whatever else runs on it: only ratios within one run mean "
             "anything. CPU is user and system time of the proxy's process inside the run, without log-ins, divided "
             "by the transactions of the same window. The floor is `bench/relay`: an epoll relay that knows no "
             "protocol and has one server connection per client.", "", f"![CPU per transaction]({picture_name})"]
    for title, head, rows in sections(run):
        lines += ["", f"## {title}", "", *markdown_table(head, rows)]
    lines += ["", "## Goals", "", *markdown_table(["goal", "measured", ""],
                                                  [[w, v, VERDICT[ok]] for w, v, ok in goals(run)])]
    if reasons(run):
        lines += ["", "Not available:", "", *[f"- {line}" for line in reasons(run)]]
    return "\n".join(lines) + "\n"


def svg(run):
    series = [(name, title) for name, title in run["candidates"] if name != "direct"]
    panels = [(mode, [(f"{clients} client{'s' if clients > 1 else ''}",
                       {name: get(run["results"], name, mode, clients, "cpu_us") for name, _ in series})
                      for clients in run["clients"]]) for mode in run["modes"]]
    return picture.bars("CPU time of the proxy per transaction", f"pgbench -S, loopback, without TLS; {run['machine']}; "
                        f"{run['date']}", "µs per transaction, less is better", panels, series)


def write(run, directory, stem, with_png=True):
    """stem.md, stem.svg, and stem.png where a converter is installed; returns the paths."""
    os.makedirs(directory, exist_ok=True)
    base = os.path.join(directory, stem)
    with open(base + ".svg", "w") as file:
        file.write(svg(run))
    with open(base + ".md", "w") as file:
        file.write(markdown(run, stem + ".svg"))
    paths = [base + ".md", base + ".svg"]
    if with_png and picture.png(base + ".svg", base + ".png"):
        paths.append(base + ".png")
    return paths


def save(run, path):
    flat = [[*key, value if isinstance(value, str) else vars(value)] for key, value in run["results"].items()]
    with open(path, "w") as file:
        json.dump({**run, "results": flat}, file, indent=1)


def load(path):
    with open(path) as file:
        run = json.load(file)
    run["results"] = {(name, mode, clients): value if isinstance(value, str) else Sample(**value)
                      for name, mode, clients, value in run["results"]}
    run["candidates"] = [tuple(pair) for pair in run["candidates"]]
    return run
