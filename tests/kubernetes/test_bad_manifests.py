"""The table's cases that the API server takes: the operator says what is wrong, in the condition of the object it is in."""

import pytest

from bad_manifests import TABLE, text_of
from support.kube_operator import KubeOperator
from support.waiting import wait_for

CASES = [case for case in TABLE["cases"] if case["where"] == "condition"]
OVERCOMMITTED = next(case for case in TABLE["cases"] if case["name"] == "percentages over 100")
RESOURCES = "/apis/dbproxy.io/v1alpha1/namespaces/{}/{}"


def name_space(case: dict) -> str:
    return f"bad-{TABLE['cases'].index(case)}"


def placed(text: str, case: dict) -> str:
    """In a namespace of its own, so that all cases can be there at once."""
    return text.replace("namespace: shop", f"namespace: {name_space(case)}") \
        .replace("namespace shop", f"namespace {name_space(case)}") \
        .replace("shop/", f"{name_space(case)}/")


@pytest.fixture(scope="module")
def bad(rights, testbed):
    """The operator, started when all cases were there."""
    for case in [*CASES, OVERCOMMITTED]:
        rights.namespace(name_space(case))
        documents = placed(text_of(case), case).replace("metadata: {name: orders-app}",
                                                        "metadata: {name: orders-app, namespace: default}")
        rights.kubectl("apply", "--server-side", "-f", "-", input=documents)
    with KubeOperator(testbed.directory, rights, allowed=()) as operator:
        wait_for(operator.leads, 30, "it leads")
        yield rights


def refusals(api, case: dict) -> list[str]:
    """What the conditions of a case's objects say that are False."""
    out = []
    for plural in ("dbproxies", "dbproxyendpoints"):
        for item in api.get(RESOURCES.format(name_space(case), plural))["items"]:
            out += [each["message"] for each in item.get("status", {}).get("conditions", [])
                    if each["type"] in ("Accepted", "ResolvedRefs") and each["status"] == "False"]
    return out


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_it_is_a_condition(bad, case):
    for expected in [case["says"]] if "says" in case else [each.partition(": ")[2] for each in case["expect"]]:
        words = placed(expected, case)
        wait_for(lambda: any(words in said for said in refusals(bad, case)), 30,
                 f"a condition that says: {words}", interval=0.2)


def test_percentages_over_100_are_a_condition(bad):
    def degraded():
        items = bad.get(RESOURCES.format(name_space(OVERCOMMITTED), "dbproxies"))["items"]
        return [each["message"] for item in items for each in item.get("status", {}).get("conditions", [])
                if each["type"] == "Degraded" and each["reason"] == "Overcommitted"]
    wait_for(lambda: len(degraded()) == 2, 60, "both say so", interval=0.2)
    assert all("percent of its connections together; keep the sum at 100 or less" in each for each in degraded())
