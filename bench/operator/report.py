"""How the measurements of the operator say what they found."""

import json
import os


def say(text):
    print(f"  {text}  (load {os.getloadavg()[0]:.1f})", flush=True)


def finish(result, goals, title, rows, options, without_goal=()) -> int:
    """Writes the figures and prints them against their goals; the exit status.

    rows: (text, name in result and goals, unit); without_goal: whole lines more.
    """
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"\n| {title} | measured | goal |\n|---|---|---|")
    for text, name, unit in rows:
        print(f"| {text} | {result[name]:.1f} {unit} | ≤ {goals[name]:g} {unit} |")
    for line in without_goal:
        print(line)
    missed = [name for name, goal in goals.items() if result[name] > goal]
    if missed:
        print("missed: " + ", ".join(missed))
    return 1 if missed and options.strict else 0
