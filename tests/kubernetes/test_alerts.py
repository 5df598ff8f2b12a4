"""The chart's alerts, on series that should and should not make them fire: `promtool test rules`."""

import yaml

from support import paths
from support.process import run

HELM = paths.KUBE_BIN / "helm"
CASES = paths.ROOT / "tests/kubernetes/alerts.yaml"


def rules() -> dict:
    text = run([HELM, "template", "test", paths.ROOT / "helm/dbproxy", "--kube-version", "1.34.4", "--show-only",
                "templates/prometheusrule.yaml", "--set", "prometheusRule.enabled=true"]).stdout
    return {"groups": yaml.safe_load(text)["spec"]["groups"]}


def test_alerts_fire_when_they_should(testbed):
    directory = testbed.subdirectory("alerts")
    (directory / "rules.yaml").write_text(yaml.safe_dump(rules()))
    cases = yaml.safe_load(CASES.read_text())
    alerts = {rule["alert"]: rule for group in rules()["groups"] for rule in group["rules"]}
    fired, silent = set(), set()
    for test in cases["tests"]:
        for case in test["alert_rule_test"]:
            (fired if case["exp_alerts"] else silent).add(case["alertname"])
    assert fired == set(alerts) and silent == set(alerts), "each alert has a case that makes it fire, and one that does not"
    # promtool compares annotations to the letter; what people read is judged by test_chart.py.
    for rule in alerts.values():
        assert set(rule["annotations"]) >= {"summary", "runbook_url"}
    bare = rules()
    for group in bare["groups"]:
        for rule in group["rules"]:
            del rule["annotations"]
    (directory / "bare.yaml").write_text(yaml.safe_dump(bare))
    (directory / "cases.yaml").write_text(yaml.safe_dump({**cases, "rule_files": ["bare.yaml"]}))
    run(["promtool", "check", "rules", directory / "rules.yaml"])
    done = run(["promtool", "test", "rules", directory / "cases.yaml"], check=False)
    assert done.returncode == 0, done.stdout + done.stderr
