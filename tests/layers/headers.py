"""Every header compiles alone. Only those that changed, or whose includes changed, since they last passed."""

import concurrent.futures
import hashlib
import json
import os
import subprocess

import table


def closure(tree, header, seen=None):
    """The header and all that it includes from the repository; and every other header that any of them names."""
    seen = {} if seen is None else seen
    if header not in seen:
        seen[header] = tree.includes(header)
        for included in seen[header]:
            if included in tree.files:
                closure(tree, included, seen)
    return seen


def compile_alone(root, compiler, header):
    done = subprocess.run([*compiler, "-I", root, "-x", "c++", "-"], input=f'#include "{header}"\n',
                          capture_output=True, text=True, cwd=root)
    return header, done.returncode, done.stderr


def check(tree, compiler, cache_path, say=print):
    """Failures as [(header, compiler's words)]."""
    command = [compiler, "-std=c++20", "-fsyntax-only", "-DBOOST_ASIO_NO_DEPRECATED"]
    try:
        with open(cache_path) as file:
            passed = json.load(file)
    except (OSError, ValueError):
        passed = {}
    due, skipped = {}, 0
    for header in (path for path in tree.sources() if path.endswith(".hpp")):
        files = closure(tree, header)
        if any(included.startswith(table.HEAVY_PREFIXES) for includes in files.values() for included in includes):
            skipped += 1
            continue
        state = hashlib.sha256(repr(command).encode())
        for name in sorted(files):
            state.update(name.encode() + b"\0" + tree.text(name).encode() + b"\0")
        if passed.get(header) != state.hexdigest():
            due[header] = state.hexdigest()
    failures = []
    with concurrent.futures.ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)))) as pool:
        for header, code, words in pool.map(lambda h: compile_alone(tree.root, command, h), due):
            if code:
                failures.append((header, words))
                passed.pop(header, None)
            else:
                passed[header] = due[header]
    os.makedirs(os.path.dirname(cache_path), exist_ok=True)
    with open(cache_path, "w") as file:
        json.dump(passed, file, indent=1)
    say(f"{len(due)} headers compiled alone, {skipped} left out for what they include")
    return failures
