"""docs/openapi.json is what the code does, and /v1 only grows."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.checks.additive import DESCRIPTION, breaks, current

Spec = dict[str, Any]


def test_the_committed_description_is_that_of_the_code() -> None:
    committed, now = json.loads(DESCRIPTION.read_text()), current()
    assert not list(breaks(committed, now))
    assert committed == json.loads(json.dumps(now)), "run `make openapi`"


def test_each_operation_has_a_name_of_its_own_and_a_sentence() -> None:
    operations = [one for verbs in current()["paths"].values() for one in verbs.values()]
    names = [one["operationId"] for one in operations]
    assert len(set(names)) == len(names) > 50 and all(one["description"].endswith(".") for one in operations)


BREAKS: list[tuple[Callable[[Spec], object], str]] = [
    (lambda s: s["paths"].pop("/v1/usage"), "GET /v1/usage is gone"),
    (lambda s: s["paths"]["/v1/plans/{plan_id}"].pop("patch"), "PATCH /v1/plans/{plan_id} is gone"),
    (lambda s: s["components"]["schemas"]["CustomerOutput"]["properties"].pop("state"), "GET /v1/customers/{customer_id} 200/state is gone"),
    (lambda s: s["components"]["schemas"]["PlanOutput"]["required"].remove("name"), "GET /v1/plans/{plan_id} 200 may lack name"),
    (lambda s: s["components"]["schemas"]["PlanInput"]["required"].append("max_bytes"), "POST /v1/plans body needs max_bytes"),
    (lambda s: s["components"]["schemas"]["PlanInput"]["properties"]["name"].update(type="integer"), "POST /v1/plans body/name was string and is integer"),
    (lambda s: s["components"]["schemas"]["Suspension"]["properties"]["receiving"]["enum"].remove("reject"), "does not take reject any more"),
    (lambda s: s["paths"]["/v1/customers"]["get"]["parameters"].pop(), "the parameter cursor is gone"),
    (lambda s: s["paths"]["/v1/customers"]["get"]["parameters"].append({"in": "query", "name": "x", "required": True}), "the parameter x is needed"),
    (lambda s: s["paths"]["/v1/plans"]["post"]["responses"].pop("201"), "POST /v1/plans does not answer 201 any more"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "sentence"), BREAKS, ids=[sentence for _, sentence in BREAKS])
def test_what_would_break_a_client_is_seen(change: Callable[[Spec], object], sentence: str) -> None:
    old = current()
    new = copy.deepcopy(old)
    change(new)
    assert any(sentence in found for found in breaks(old, new)), list(breaks(old, new))


def test_what_is_added_breaks_nobody() -> None:
    old = current()
    new = copy.deepcopy(old)
    new["paths"]["/v1/more"] = new["paths"]["/v1/plans"]
    new["components"]["schemas"]["CustomerOutput"]["properties"]["more"] = {"type": "string"}
    new["components"]["schemas"]["PlanInput"]["properties"]["more"] = {"type": "string"}
    new["components"]["schemas"]["Suspension"]["properties"]["receiving"]["enum"].append("more")
    assert not list(breaks(old, new))
