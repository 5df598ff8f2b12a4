"""Every header compiles alone. Only those that changed, or whose includes changed, since they last passed; and none
that a source includes before anything else: that it compiles there is the proof already."""

import concurrent.futures
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


def check(tree, compiler, clean, say=print):
    """Failures as [(header, compiler's words)]. `clean`: support.stamps.Stamps."""
    command = [compiler, "-std=c++20", "-fsyntax-only", "-DBOOST_ASIO_NO_DEPRECATED"]
    due, skipped = {}, 0
    proved = {tree.includes(path)[0] for path in tree.sources() if path.endswith(".cpp") and tree.includes(path)}
    for header in (path for path in tree.sources() if path.endswith(".hpp") and path not in proved):
        files = closure(tree, header)
        if any(included.startswith(table.HEAVY_PREFIXES) for includes in files.values() for included in includes):
            skipped += 1
            continue
        state = "\0".join([repr(command), header, *(part for name in sorted(files) for part in (name, tree.text(name)))])
        if not clean.has(state):
            due[header] = state
    failures = []
    with concurrent.futures.ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)))) as pool:
        for header, code, words in pool.map(lambda h: compile_alone(tree.root, command, h), due):
            if code:
                failures.append((header, words))
            else:
                clean.put(due[header])
    say(f"{len(due)} headers compiled alone, {skipped} left out for what they include")
    return failures
