"""Checks on the source tree as text: include graph, CMake declarations, file lengths, names, leaks.

Each check takes a Tree and yields Finding; none of them writes anything.
"""

import os
import re
import subprocess
from dataclasses import dataclass, field
from typing import NamedTuple

import table

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^>"]+)[>"]', re.M)
SOURCE = (".cpp", ".hpp")
ROOTS = ("proxy", "operator")


class Finding(NamedTuple):
    where: str
    what: str
    note: bool = False  # worth saying, not a failure


@dataclass
class Tree:
    root: str
    modules: list = field(default_factory=lambda: table.MODULES)

    def __post_init__(self):
        self.layer = dict(self.modules)
        self.order = {name: index for index, (name, _) in enumerate(self.modules)}
        self.files = sorted(self._list())
        self._texts = {}

    def _list(self):
        """Tracked and new files; without git (an unpacked archive) everything outside of build/."""
        done = subprocess.run(["git", "-C", self.root, "ls-files", "-z", "-co", "--exclude-standard"],
                              capture_output=True, text=True)
        top = subprocess.run(["git", "-C", self.root, "rev-parse", "--show-toplevel"], capture_output=True, text=True)
        if done.returncode == 0 and os.path.realpath(top.stdout.strip()) == os.path.realpath(self.root):
            return [path for path in done.stdout.split("\0") if path and os.path.isfile(os.path.join(self.root, path))]
        found = []
        for directory, names, files in os.walk(self.root):
            names[:] = [name for name in names if name not in ("build", ".git", "node_modules", "__pycache__")]
            found += [os.path.relpath(os.path.join(directory, name), self.root) for name in files]
        return found

    def text(self, path):
        if path not in self._texts:
            try:
                with open(os.path.join(self.root, path), encoding="utf-8") as file:
                    self._texts[path] = file.read()
            except (UnicodeDecodeError, FileNotFoundError):  # binary, or gone since it was listed
                self._texts[path] = ""
        return self._texts[path]

    def sources(self):
        return [path for path in self.files if path.startswith(tuple(f"{root}/" for root in ROOTS))
                and path.endswith(SOURCE)]

    def includes(self, path):
        return INCLUDE.findall(self.text(path))


def module_of(path):
    return os.path.dirname(path)


def check_table(tree):
    for directory in sorted({module_of(path) for path in tree.sources()} - set(tree.layer)):
        yield Finding(directory, "is not in the table of modules (tests/layers/table.py)")


def check_arrows(tree):
    """Includes only go down."""
    for path in tree.sources():
        mine = module_of(path)
        for included in tree.includes(path):
            theirs = module_of(included)
            if mine not in tree.layer or not included.startswith(tuple(f"{root}/" for root in ROOTS)):
                continue
            if theirs not in tree.layer:
                yield Finding(path, f"includes {included}, whose module is not in the table")
            elif theirs != mine and (tree.layer[theirs] > tree.layer[mine] or
                                     (tree.layer[theirs] == tree.layer[mine] and
                                      tree.order[theirs] > tree.order[mine])):
                yield Finding(path, f"points up: {mine} (layer {tree.layer[mine]}) includes {included} "
                                    f"(layer {tree.layer[theirs]})")
            elif mine.startswith("proxy") and theirs.startswith("operator"):
                yield Finding(path, f"the data plane includes {included} of the operator")
            elif mine.startswith("operator") and theirs in table.DATA_PLANE:
                yield Finding(path, f"the operator includes {included}, which is the data plane's own")


def check_libraries(tree):
    for path in tree.sources():
        for included in tree.includes(path):
            for what, prefixes, allowed in table.LIBRARIES:
                if included.startswith(prefixes) and module_of(path) not in allowed:
                    yield Finding(path, f"includes <{included}>: {what} belongs in {', '.join(allowed)} only")


def check_existing(tree):
    """A quoted include of the repository names a file that is there."""
    known = set(tree.files)
    for path in tree.sources():
        for included in tree.includes(path):
            if included.startswith(tuple(f"{root}/" for root in ROOTS)) and included not in known:
                yield Finding(path, f"includes {included}, which does not exist")


def declared(tree):
    """{module directory: set of module directories} as the dbproxy_module() calls say, and the modules' CMake names."""
    names = {name.removeprefix("operator/").replace("/", "_"): name for name, _ in tree.modules
             if name.startswith("operator/")}  # short names, where the data plane has no module of that name
    names |= {name.removeprefix("proxy/").replace("/", "_"): name for name, _ in tree.modules}
    out = {}
    for path in tree.files:
        if os.path.basename(path) != "CMakeLists.txt" or module_of(path) not in tree.layer:
            continue
        text = re.sub(r"#.*", "", tree.text(path))
        for call in re.findall(r"\bdbproxy_module\(([^)]*)\)", text):
            words, section, depends = call.split(), None, set()
            for word in words:
                if word in ("NAME", "DEPENDS", "LINK", "SOURCES"):
                    section = word
                elif section == "DEPENDS":
                    depends.add(names.get(word, word))
                elif section == "NAME" and names.get(word) != module_of(path):
                    expected = module_of(path).removeprefix("proxy/").replace("/", "_")
                    out.setdefault("wrong", []).append((path, f"declares {word}; the directory's name is {expected}"))
            out[module_of(path)] = depends
    return out


def check_cmake(tree):
    """A module that includes another names it in DEPENDS."""
    declarations = declared(tree)
    for path, what in declarations.pop("wrong", []):
        yield Finding(path, what)
    used = {}
    for path in tree.sources():
        for included in tree.includes(path):
            if module_of(included) in tree.layer and module_of(included) != module_of(path):
                used.setdefault(module_of(path), {}).setdefault(module_of(included), path)
    for module, depends in sorted(declarations.items()):
        for other, path in sorted(used.get(module, {}).items()):
            if other not in depends:
                yield Finding(f"{module}/CMakeLists.txt", f"DEPENDS lacks {other}, which {path} includes")
        for other in sorted(depends & set(tree.layer)):
            if other not in used.get(module, {}):
                yield Finding(f"{module}/CMakeLists.txt", f"DEPENDS names {other}, which nothing here includes", True)
    for module in sorted({module_of(path) for path in tree.sources()} & set(tree.layer)):
        if module not in declarations and module not in ROOTS:
            yield Finding(module, "has sources, and no dbproxy_module() in a CMakeLists.txt")


def check_lengths(tree):
    for path in tree.files:
        if not path.endswith((*SOURCE, ".py", ".js", ".go", ".java", ".sh")):
            continue
        lines = tree.text(path).count("\n")
        if lines > table.MOST_LINES:
            yield Finding(path, f"has {lines} lines; {table.MOST_LINES} is the most: split it")
        elif lines > table.MANY_LINES:
            yield Finding(path, f"has {lines} lines; files aim at {table.MANY_LINES}", True)


def check_names(tree):
    for path in tree.files:
        if path.endswith(SOURCE) and not re.fullmatch(r"[a-z0-9_]+\.[ch]pp", os.path.basename(path)):
            yield Finding(path, "files are named in snake_case")


# Put together from parts, so that this file does not find itself.
LEAKS = [(re.compile(r"(?<![\w.-])/" + "work/"), "a path of one machine"),
         (re.compile(r"(?<![\w.-])/" + "(root|Users)/"), "a path of one machine"),
         (re.compile(r"(?<![\w.-])/" + "home/(?!app\\b|user\\b|\\.\\.\\.)"), "a path of one machine"),
         (re.compile(r"\b(TO" + r"DO|FIX" + r"ME)\b"), "a mark for later: do it, or write it down where it is found")]


def check_leaks(tree):
    for path in tree.files:
        text = tree.text(path)
        for pattern, what in LEAKS:
            for match in pattern.finditer(text):
                line = text.count("\n", 0, match.start()) + 1
                yield Finding(f"{path}:{line}", f"holds {match.group(0)!r}: {what}")


ALL = [check_table, check_arrows, check_existing, check_libraries, check_cmake, check_lengths, check_names, check_leaks]


def run_all(tree):
    return [finding for check in ALL for finding in check(tree)]
