#!/usr/bin/env python3
"""Shows that the model check can fail: breaks the connection budget in one place at a time and expects to be told.

By hand, since it takes minutes: python3 -B tests/unit/budget/mutants.py [word of a mutant's name]…
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[3]
ALLOCATOR = "operator/budget/allocator.cpp"
SHARING = "operator/budget/sharing.cpp"
HEADER = "operator/budget/allocator.hpp"
LEDGER = "proxy/budget/ledger.cpp"

MUTANTS = [
    # (what it does wrong, file, text, text instead)
    ("an allowance on its way is not charged", HEADER, "held > sent ? held : sent", "held"),
    ("what a predecessor has is forgotten", ALLOCATOR, "if (successor) entry.remains += std::exchange(entry.held, 0);",
     "if (successor) entry.held = 0;"),
    ("connections are buried before the process has reported", ALLOCATOR,
     "if (found->second.usable || found->second.lost) entry.remains", "entry.remains"),
    ("grants beyond the ceiling", SHARING, "confirmed ? ceiling(*claim->name, *claim->lane) : 0", "1000"),
    ("new processes get grants at once", SHARING, "saves_in_force_ >= claim->pod->confirmed_by", "true"),
    ("what is being saved counts as saved", ALLOCATOR,
     "saving_ ? std::min(in(kept_), in(*saving_)) : in(kept_)", "saving_ ? in(*saving_) : in(kept_)"),
    ("a ceiling that is being lowered counts in full", ALLOCATOR,
     "saving_ ? std::min(in(kept_), in(*saving_)) : in(kept_)", "in(kept_)"),
    ("a save that failed counts as done", ALLOCATOR, "if (in_force) {", "if (true) {"),
    ("readers do not see writers", ALLOCATOR, "beyond(member->second, written + at(taken, lane))",
     "beyond(member->second, at(taken, lane))"),
    ("writers do not see readers", ALLOCATOR, "beyond(limit, written + at(taken, member))", "beyond(limit, written)"),
    ("every report confirms every allowance", ALLOCATOR, "if (said.seen >= entry.number) entry.sent = 0;",
     "entry.sent = 0;"),
    ("reports are taken in any order", ALLOCATOR, "if (report.number <= pod.reports) return false;", ""),
    ("reports of earlier sessions are taken", ALLOCATOR, " || report.session != pod.session", ""),
    ("ceilings are wished for those who are gone", SHARING, "entry.needed_ceiling = 0;", ""),
    ("what incomplete sidecars hold is counted as nobody's, too", ALLOCATOR,
     "if (!pod.usable) entry.remains = std::min(entry.remains, beyond(entry.charge(), held));", ""),
    ("who waits longest is not first", SHARING,
     "own_a != own_b ? own_a < own_b : a->entry->waiting < b->entry->waiting", "own_a < own_b"),
    ("slices never end", SHARING, "level > 0 || now - entry.served < options_.slice ? 0 : 2", "0"),
    ("nobody is asked to give back", SHARING, "if (goal != entry.goal) allow", "if (false) allow"),
    ("old sessions are opened again", LEDGER,
     "if (std::tie(open.epoch, open.session) <= std::tie(epoch_, session_)) return false;", ""),
    ("lower epochs are taken", LEDGER, "std::tie(open.epoch, open.session) <= std::tie(epoch_, session_)",
     "open.epoch == epoch_ && open.session <= session_"),
    ("what was meant for a predecessor is taken", LEDGER, "incarnation != options_.incarnation", "incarnation == 0"),
    ("allowances of other sessions are taken", LEDGER,
     "allowance.epoch != epoch_ || allowance.session != session_ || session_ == 0", "session_ == 0"),
    ("allowances are taken in any order", LEDGER, "if (allowance.number <= account.seen) return false;", ""),
    ("slots are used before they are saved", LEDGER, "if (!save()) account.cap = before;\n  }\n  account.goal = std::min",
     "}\n  account.goal = std::min"),
    ("slots of open connections are given back", LEDGER, "to = std::max(needs, account.goal);", "to = account.goal;"),
    ("what a predecessor left is not held", LEDGER, "if (slots > 0) accounts_[lane].cap", "if (false) accounts_[lane].cap"),
    ("a promoted reader's slots cover nothing", LEDGER, "most = std::max(most, beyond(use.open, cap(member)));",
     "most = std::max(most, use.writer ? beyond(use.open, cap(member)) : 0);"),
]


def build(tree, objects):
    flags = ["ccache", "g++", "-std=c++20", "-O1", "-I", str(tree), "-I", str(tree / "tests/unit/budget"), "-c"]
    parts = []
    for source in (ALLOCATOR, SHARING, LEDGER, "tests/unit/budget/world.cpp", "tests/unit/budget/model_test.cpp"):
        parts.append(objects / (pathlib.Path(source).stem + ".o"))
        subprocess.run([*flags, str(tree / source), "-o", str(parts[-1])], check=True)
    program = objects / "model"
    subprocess.run(["g++", *map(str, parts), "-lgtest", "-lgtest_main", "-pthread", "-o", str(program)], check=True)
    return program


def main():
    words = sys.argv[1:]
    missed = []
    chosen = [each for each in MUTANTS if not words or any(word in each[0] for word in words)]
    for name, file, text, instead in chosen:
        with tempfile.TemporaryDirectory() as directory:
            tree = pathlib.Path(directory)
            for part in ("proxy/base", "proxy/budget", "operator/budget", "tests/unit/budget"):
                shutil.copytree(ROOT / part, tree / part)
            before = (tree / file).read_text()
            if text not in before:
                sys.exit(f"{name}: its text is not in {file}")
            (tree / file).write_text(before.replace(text, instead))
            ran = subprocess.run([str(build(tree, tree)), "--gtest_fail_fast", "--gtest_brief=1"],
                                 capture_output=True, text=True, check=False, timeout=600)
        words_of_it = [line for line in ran.stdout.splitlines() if line.startswith("At first")]
        print(f"{'found ' if ran.returncode else 'MISSED'} {name}: {words_of_it[0] if words_of_it else ''}", flush=True)
        if ran.returncode == 0:
            missed.append(name)
    print(f"{len(chosen) - len(missed)} of {len(chosen)} found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
