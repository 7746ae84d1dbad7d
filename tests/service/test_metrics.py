"""Metrics count what happened, under labels that no client can add to."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from edit_rrm.card import JudgeCard
from edit_rrm.verdicts import Mode, Outcome, Usage
from edit_rrm_service.images import ImageFault
from edit_rrm_service.metrics import Metrics
from tests.fakes.engine import COLLATERAL, FakeEngine, words, written
from tests.service.running import EDITED, png, post, running


def value(text: str, name: str, **labels: str) -> float | None:
    """One sample of an exposition."""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return float(sample.value)
    return None


async def test_requests_edits_verdicts_and_tokens_are_counted() -> None:
    async with running(FakeEngine(judgement=lambda prompt: COLLATERAL)) as client:
        await post(client, "/v1/rewards", edited=(EDITED, png("green"), b"no image"))
        await client.get("/no/such/page")
        reply = await client.get("/metrics")
    text = reply.text
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert value(text, "edit_rrm_outcomes_total", outcome="scored") == 2
    assert value(text, "edit_rrm_outcomes_total", outcome="bad_image") == 1
    assert value(text, "edit_rrm_verdicts_total", category="feature_preservation", passed="false") == 2
    assert value(text, "edit_rrm_http_requests_total", route="/v1/rewards", status="200") == 1
    assert value(text, "edit_rrm_http_requests_total", route="other", status="404") == 1
    assert value(text, "edit_rrm_score_count", mode="think") == 2
    assert value(text, "edit_rrm_score_sum", mode="think") == 12
    assert value(text, "edit_rrm_tokens_total", kind="prompt") == 300
    assert value(text, "edit_rrm_tokens_total", kind="cached") == 180
    assert value(text, "edit_rrm_tokens_total", kind="completion") == 60
    assert value(text, "edit_rrm_stage_duration_seconds_count", stage="decompose") == 1
    assert value(text, "edit_rrm_ready") == 1
    assert value(text, "edit_rrm_group_size_sum") == 3
    assert value(text, "edit_rrm_principles_sum") == 6
    assert value(text, "edit_rrm_images_total", result="ok") == 3
    assert value(text, "edit_rrm_images_total", result="unknown_format") == 1
    assert (value(text, "process_resident_memory_bytes") or 0) > 0
    assert value(text, "edit_rrm_turns_in_flight") == 0


async def test_the_judge_is_named_as_on_its_card() -> None:
    async with running(FakeEngine(), card=JudgeCard(name="a judge of stars")) as client:
        identity = (await client.get("/v1/identity")).json()["identity"]
        text = (await client.get("/metrics")).text
    assert value(text, "edit_rrm_judge_info", identity=identity, engine="fake", model="a judge of stars") == 1


async def test_label_mass_is_what_probes_say() -> None:
    async with running(FakeEngine(label_mass=0.75)) as client:
        await post(client, mode="probe")
        text = (await client.get("/metrics")).text
    assert value(text, "edit_rrm_label_mass_count") == 3
    assert value(text, "edit_rrm_label_mass_sum") == 2.25


async def test_probes_under_the_floor_are_counted_though_their_edit_has_no_score() -> None:
    engine = FakeEngine(label_mass=lambda prompt: 0.25 if "star" in words(prompt).rpartition("Is ")[2] else 0.75)
    async with running(engine) as client:
        reply = await post(client, mode="probe")
        text = (await client.get("/metrics")).text
    assert reply.json()["error"]["code"] == "low_label_mass"
    assert value(text, "edit_rrm_probes_below_floor_total") == 1
    assert value(text, "edit_rrm_label_mass_count") == 3
    assert value(text, "edit_rrm_label_mass_sum") == 1.75


async def test_a_remembered_probe_is_not_read_again() -> None:
    async with running(FakeEngine(label_mass=0.75)) as client:
        for _ in range(2):
            await post(client, mode="probe")
        text = (await client.get("/metrics")).text
    assert value(text, "edit_rrm_score_count", mode="probe") == 2
    assert value(text, "edit_rrm_label_mass_count") == 3
    assert value(text, "edit_rrm_probes_below_floor_total") == 0


async def test_images_are_counted_by_what_is_wrong_with_them() -> None:
    wrong = {
        ImageFault.UNKNOWN_FORMAT: b"no image",
        ImageFault.DAMAGED: EDITED[:40],
        ImageFault.TOO_MANY_BYTES: EDITED + bytes(1_100),
        ImageFault.TOO_MANY_PIXELS: png(size=(101, 100)),
        ImageFault.TOO_SMALL: png(size=(40, 4)),
        ImageFault.TOO_LONG: png(size=(200, 9)),
    }
    async with running(FakeEngine(), max_image_bytes=1_024, max_image_pixels=10_000) as client:
        before = (await client.get("/metrics")).text
        for data in wrong.values():
            await post(client, edited=data)
        text = (await client.get("/metrics")).text
    assert all(value(before, "edit_rrm_images_total", result=result) == 0 for result in ("ok", *ImageFault))
    assert {fault: value(text, "edit_rrm_images_total", result=fault) for fault in wrong} == dict.fromkeys(wrong, 1.0)
    assert value(text, "edit_rrm_images_total", result="ok") == len(wrong)


@pytest.mark.parametrize("on", [True, False])
async def test_what_is_off_is_told_from_what_has_not_happened(on: bool) -> None:
    url = "redis://127.0.0.1:9/0" if on else None
    async with running(FakeEngine(), ready=False, sentinels="warn" if on else "off", redis_url=url) as client:
        text = (await client.get("/metrics")).text
    assert value(text, "edit_rrm_sentinels_enabled") == on
    assert value(text, "edit_rrm_redis_configured") == on
    assert value(text, "edit_rrm_redis_errors_total", op="claim") == (0 if on else None)
    assert value(text, "edit_rrm_sentinel_rounds_total", verdict="inconclusive") == (0 if on else None)


async def test_answers_that_could_not_be_read_are_counted_by_why() -> None:
    cut = written("1. it is", "length")
    async with running(FakeEngine(judgement=lambda prompt: cut)) as client:
        await post(client)
        await post(client, "/v1/decompose", edited=None, instruction="other")
        text = (await client.get("/metrics")).text
    assert value(text, "edit_rrm_parse_failures_total", task="think", kind="truncated") == 1
    assert value(text, "edit_rrm_parse_failures_total", task="decompose", kind="truncated") is None


async def test_strangers_cannot_make_labels() -> None:
    async with running(FakeEngine()) as client:
        for path in ("/a", "/b", "/v1/reward/../x", "/v1/rewardx"):
            await client.get(path)
        text = (await client.get("/metrics")).text
    assert set(re.findall(r'route="([^"]*)"', text)) <= {"other", "/readyz", "/metrics"}


def test_every_outcome_is_there_before_it_happens() -> None:
    text = Metrics().exposition().decode()
    assert all(value(text, "edit_rrm_outcomes_total", outcome=outcome.value) == 0 for outcome in Outcome)


@given(st.lists(st.floats(0.0, 10.0), min_size=1, max_size=20), st.integers(0, 10**9))
def test_an_exposition_can_be_read_back(scores: list[float], tokens: int) -> None:
    metrics = Metrics()
    for score in scores:
        metrics.scored("anonymous", Mode.PROBE, score, ())
    metrics.tokens(Usage(prompt_tokens=tokens))
    text = metrics.exposition().decode()
    assert value(text, "edit_rrm_score_count", mode="probe") == len(scores)
    assert value(text, "edit_rrm_score_bucket", mode="probe", le="10.0") == len(scores)
    assert value(text, "edit_rrm_tokens_total", kind="prompt") == tokens
