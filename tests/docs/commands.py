"""The commands that the documentation shows: each is in a block that a test runs, or a test is named here that runs it."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# tests/integration/test_docs.py says what each is; `cluster` is run by tests/e2e.
RUN = ("run", "machine", "operator", "aws", "cluster")
PROGRAMS = ("dbproxy", "dbproxyctl", "dbproxy-operator", "kubectl", "helm", "psql", "curl", "aws", "make")
# Of a line of text. Whatever else it says, the first two words are what it does.
ELSEWHERE = {
    "aws rds": "tests/integration/test_aws_token.py",
    "dbproxy-operator --aws-grant": "tests/kubernetes/test_aws.py",
    "dbproxy-operator --kubeconfig": "tests/support/kube_operator.py",
    "dbproxy-operator --manifests": "tests/support/operator_process.py",
    "dbproxyctl --token-file": "tests/kubernetes/test_live_page.py",
    "dbproxyctl check": "tests/kubernetes/test_ctl.py",
    "dbproxyctl export": "tests/kubernetes/test_ctl.py",
    "dbproxyctl iam-policy": "tests/integration/test_aws_token.py",
    "dbproxyctl inject": "tests/kubernetes/test_ctl.py",
    "dbproxyctl outdated": "tests/kubernetes/test_operator.py",
    "dbproxyctl preflight": "tests/kubernetes/test_ctl.py",
    "dbproxyctl token": "tests/integration/test_iam_clients.py",
    "psql -h": "tests/integration/test_pod_identity.py",
}


def pages() -> list[Path]:
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def shown(text: str):
    """(line number, whether a test runs it, whether it is of a line of text, command)."""
    fence = None
    for number, line in enumerate(text.splitlines(), 1):
        if (mark := re.match(r" *```(.*)$", line)):
            fence = mark[1] if fence is None else None
        elif fence is not None or line.startswith("    "):
            command = line.strip().split("#")[0].strip()
            if command.split(" ")[0] in PROGRAMS:
                yield number, fence in [f"sh {kind}" for kind in RUN], False, command
        else:
            yield from ((number, False, True, each) for each in re.findall(r"`([^`]+)`", line)
                        if " " in each and each.split(" ")[0] in PROGRAMS)


def does(command: str) -> str:
    """`kubectl -n shop get pods` gets, and `dbproxyctl targets -o json` shows targets."""
    program, *words = re.sub(r" (-n|--namespace|--operator|--sidecar|--socket|--state-dir) \S+", "", command).split()
    return f"{program} {words[0].strip('[') if words else ''}"


def failures() -> list[str]:
    out, text = [], {page: page.read_text() for page in pages()}
    commands = [(page, *each) for page in text for each in shown(text[page])]
    run = {does(command) for _, _, by_test, _, command in commands if by_test}
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.M))
    for page, number, by_test, inline, command in commands:
        where = f"{page.relative_to(ROOT)}:{number}: {command}:"
        if command.startswith("make "):
            out += [f"{where} there is no target {word}" for word in command.split()[1:]
                    if "=" not in word and word not in targets]
        elif not inline and not by_test and does(command) not in ELSEWHERE:
            out.append(f"{where} no test runs it: its block is none of {', '.join(f'```sh {kind}' for kind in RUN)}")
        elif inline and does(command) not in run | set(ELSEWHERE):
            out.append(f"{where} no test runs such a one")
    for command, test in ELSEWHERE.items():
        path, word = ROOT / test, command.split(" ")[1]
        if not path.exists() or not re.search(rf"[\"' ]{re.escape(word)}[\"' ,={{]", path.read_text()):
            out.append(f"tests/docs/commands.py: {test} does not run {command}")
        if not any(does(shown_command) == command for *_, shown_command in commands):
            out.append(f"tests/docs/commands.py: nothing shows {command} any more")
    return out
