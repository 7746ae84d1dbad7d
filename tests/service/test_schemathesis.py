"""The OpenAPI document against the service, both ways: what it promises is kept, whatever is sent."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import load_all_checks
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from edit_rrm_service.engines.base import Prompt
from tests.client.fake_service import running as serving_in_thread
from tests.fakes.engine import FakeEngine, words
from tests.service.running import fake_app, png

load_all_checks()

JUDGING = ("/v1/decompose", "/v1/verify", "/v1/reward", "/v1/rewards", "/score", "/get_reward")
POSTS = tuple(f"POST {path}" for path in JUDGING)
GETS = ("GET /v1/identity", "GET /livez", "GET /startupz", "GET /readyz", "GET /metrics", "GET /rewards", "GET /health")
SENT = [(label, mode) for label in POSTS for mode in schemathesis.GenerationMode]
SENT += [(label, schemathesis.GenerationMode.POSITIVE) for label in GETS]

IMAGES = st.sampled_from(
    [png("red", size, kind=kind) for size in ((8, 8), (30, 20)) for kind in ("PNG", "JPEG", "WEBP", "PPM")]
)
schemathesis.openapi.format("binary", IMAGES)
schemathesis.openapi.format("byte", IMAGES.map(lambda data: base64.b64encode(data).decode()))


def judged(prompt: Prompt) -> str:
    """A judgement of as many principles as the prompt lists."""
    listed = words(prompt).partition("Principles:\n")[2].partition("\nSource image:")[0]
    count = len(re.findall(r"^\d+\. ", listed, re.MULTILINE))
    lines = "".join(f"{number}. so it is: yes\n" for number in range(1, count + 1))
    return f"{lines}verdicts: {'1 ' * count}\n<score>8.0</score>"


UNSAYABLE: list[Any] = [
    # No schema says that probes are not sampled, or which characters can be seen.
    positive_data_acceptance,
    # A form's fields are text, whatever was meant.
    negative_data_rejection,
]


@pytest.fixture(scope="module")
def schema() -> Iterator[schemathesis.BaseSchema]:
    with serving_in_thread(fake_app(FakeEngine(judgement=judged))) as url:
        yield schemathesis.openapi.from_url(f"{url}/openapi.json")


def operations(schema: schemathesis.BaseSchema) -> dict[str, Any]:
    found = (operation for operation in schema.get_all_operations() if isinstance(operation, Ok))
    return {operation.ok().label: operation.ok() for operation in found}


def test_every_operation_is_tested(schema: schemathesis.BaseSchema) -> None:
    assert sorted(operations(schema)) == sorted(POSTS + GETS)


@pytest.mark.parametrize(("label", "mode"), SENT)
def test_every_promise_is_kept(schema: schemathesis.BaseSchema, label: str, mode: schemathesis.GenerationMode) -> None:
    operation = operations(schema)[label]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    def check(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(excluded_checks=UNSAYABLE)

    check()
