"""Called as the reward loops of verl 0.9.1 and verl-omni call: one edit at a time, many at once.

`called` and `batch_of_one` are stand-ins, written from verl 0.9.1's ``load_reward_manager`` and ``DataProto`` and from
verl-omni's ``VisualRewardManager`` of August 2026, for what these pass and expect.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from functools import partial
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from edit_rrm_client import FailureBudget, FailureBudgetError, FailurePolicy, UnscoredError
from edit_rrm_client.adapters.verl import (
    OnFailure,
    VerlReward,
    compute_score,
    shared_client,
    shared_reward,
    single_image,
    source_of,
)
from edit_rrm_client.adapters.verl_manager import EditRrmRewardManager, source_in
from tests.client.adapters.async_scorer import AsyncRednessScorer
from tests.client.fake_service import judgement, judging_service

SOURCE = Image.new("RGB", (64, 64), "white")


def png(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def rollout(tenth: int) -> torch.Tensor:
    """What a rollout decodes, (3, H, W) in uint8: as red as tenths say, and not to be measured at 0."""
    image = torch.zeros(3, 64, 64, dtype=torch.uint8)
    image[0] = round(tenth * 25.5)
    return image


def answer(edited: Image.Image) -> str:
    red = edited.getpixel((0, 0))[0]  # type: ignore[index]  # a tuple, as edited images are RGB
    return judgement(round(red / 25.5, 1)) if red else "I am not sure."


@pytest.fixture(scope="module")
def service_url() -> Iterator[str]:
    with judging_service(answer) as started:
        yield started


@pytest.fixture
async def url(service_url: str) -> AsyncIterator[str]:
    """The service; clients that are shared for good in a trainer are closed here."""
    yield service_url
    await shared_client(service_url, None, 600.0, None).close()
    shared_client.cache_clear()
    shared_reward.cache_clear()


async def called(function: Any, settings: dict[str, Any], image: torch.Tensor, extra_info: dict[str, Any]) -> Any:
    """A custom reward function as verl wraps it, and verl-omni's manager calls it."""

    async def with_settings(raw: Any, extra: dict[str, Any], **call: Any) -> Any:
        return await raw(**{**call, **extra})

    wrapped = partial(with_settings, function, settings)
    assert inspect.iscoroutinefunction(function), "else verl would call it in a thread and await nothing"
    return await wrapped(
        data_source="image_edit", solution_image=image, ground_truth="make it red", extra_info=extra_info
    )


def batch_of_one(image: torch.Tensor, **about: Any) -> list[Any]:
    fields = {"data_source": "image_edit", "reward_model": {"ground_truth": "make it red"}, **about}
    return [SimpleNamespace(batch={"responses": image}, non_tensor_batch=fields, meta_info={})]


async def test_single_calls_become_one_group() -> None:
    client = AsyncRednessScorer()
    reward = VerlReward(client, within_s=0.2)
    scores = await asyncio.gather(*(reward("make it red", SOURCE.copy(), rollout(tenth)) for tenth in (2, 7, 10)))
    assert [score["score"] for score in scores] == [0.2, 0.7, 1.0]
    assert [(score["measured"], score["outcome"]) for score in scores] == [(1.0, "scored")] * 3
    assert [len(group.edited) for group in client.asked] == [3]


async def test_what_was_not_measured_is_no_number() -> None:
    reward = VerlReward(AsyncRednessScorer(), within_s=0.2)
    good, failed = await asyncio.gather(
        reward("x", SOURCE, rollout(7)), reward("x", SOURCE, rollout(0)), return_exceptions=True
    )
    assert isinstance(good, dict)
    assert good["score"] == 0.7
    assert isinstance(failed, UnscoredError)
    assert str(failed) == (
        "an edit was not scored: timed_out: no; verl cannot leave a reward out: "
        "resume the run from its last checkpoint, or set on_failure=group_mean"
    )
    assert failed.retryable


async def test_the_mean_of_a_whole_group_gives_no_advantage() -> None:
    reward = VerlReward(AsyncRednessScorer(), on_failure="group_mean", group_size=4)
    scores = await asyncio.gather(*(reward("x", SOURCE, rollout(tenth)) for tenth in (2, 0, 4, 9)))
    values = np.array([score["score"] for score in scores])
    assert values.tolist() == pytest.approx([0.2, 0.5, 0.4, 0.9])
    assert values[1] - values.mean() == pytest.approx(0.0, abs=1e-6)
    assert [score["measured"] for score in scores] == [1.0, 0.0, 1.0, 1.0]
    assert scores[1]["outcome"] == "timed_out"


async def test_the_mean_of_half_a_group_would_be_invented() -> None:
    reward = VerlReward(AsyncRednessScorer(), on_failure="group_mean", group_size=4, within_s=0.05)
    found = await asyncio.gather(*(reward("x", SOURCE, rollout(t)) for t in (5, 0)), return_exceptions=True)
    assert isinstance(found[0], dict)
    with pytest.raises(UnscoredError, match=r"2 of its group's 4 edits came; set reward\.num_workers=1 and a longer"):
        raise found[1]  # type: ignore[misc]  # pytest says what it is instead
    nothing = await asyncio.gather(*(reward("x", SOURCE, rollout(0)) for _ in range(4)), return_exceptions=True)
    assert all("nothing of its group was" in str(one) for one in nothing)


async def test_too_many_failures_stop_the_run() -> None:
    budget = FailureBudget(FailurePolicy(max_failed=0.2, window=4))
    reward = VerlReward(AsyncRednessScorer(), on_failure="group_mean", group_size=4, budget=budget)
    calls = (reward("x", SOURCE, rollout(tenth)) for tenth in (2, 0, 0, 9))
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(one) for one in found].count(FailureBudgetError) == 1
    assert budget.failed == 0.5


@pytest.mark.parametrize("settings", [{"on_failure": "zero"}, {"on_failure": "group_mean"}])
def test_policies_that_are_none(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"on_failure is 'raise' or 'group_mean'|group_mean needs group_size"):
        VerlReward(AsyncRednessScorer(), **settings)


async def test_the_function_that_verl_omni_names(url: str) -> None:
    extra_info = {"instruction": "make it redder", "source_img": {"bytes": png(SOURCE), "path": None}}
    images = [rollout(tenth) for tenth in (10, 4)] + [rollout(6)[None]]
    scores = await asyncio.gather(*(called(compute_score, {"url": url}, image, extra_info) for image in images))
    assert scores == [{"score": one, "measured": 1.0, "outcome": "scored"} for one in (1.0, 0.4, 0.6)]
    stats = shared_client(url, None, 600.0, None).stats()
    assert stats.outcomes == {"scored": 3}
    assert stats.requests == 1

    with pytest.raises(UnscoredError, match="an edit was not scored: unparsable"):
        await called(compute_score, {"url": url}, rollout(0), extra_info)


async def test_a_misspelt_setting_is_no_setting(url: str) -> None:
    with pytest.raises(TypeError, match="reward_kwargs that compute_score does not know: on_failures"):
        await called(compute_score, {"url": url, "on_failures": "group_mean"}, rollout(5), {"source": SOURCE})


async def test_the_manager_finds_the_source_in_the_prompt(url: str) -> None:
    settings: dict[str, Any] = {"reward_kwargs": {"url": url}}
    manager = EditRrmRewardManager(
        config=SimpleNamespace(reward=settings), tokenizer=None, compute_score=None, reward_router_address=None
    )
    # As verl's RLHFDataset builds it of the columns `prompt` and `images`.
    content = [
        {"type": "text", "text": "Picture 1: "},
        {"type": "image", "image": SOURCE, "bytes": png(SOURCE)},
        {"type": "text", "text": "make it red"},
    ]
    prompt = np.array([{"role": "system", "content": "Edit."}, {"role": "user", "content": content}])
    extra_info = {"instruction": "make it red", "image": "000001.png"}
    results = await asyncio.gather(
        *(
            manager.run_single(batch_of_one(rollout(tenth), raw_prompt=prompt, extra_info=extra_info))
            for tenth in (3, 8)
        )
    )
    assert [result["reward_score"] for result in results] == [0.3, 0.8]
    assert results[0]["reward_extra_info"] == {"measured": 1.0, "outcome": "scored"}
    assert extra_info == {"instruction": "make it red", "image": "000001.png"}
    tensor = EditRrmRewardManager.assemble_rm_scores(None, [result["reward_score"] for result in results])
    assert tensor.shape == (2, 1)
    with pytest.raises(ValueError, match="2 samples came"):
        await manager.run_single(batch_of_one(rollout(1)) * 2)


def test_what_cannot_be_judged_is_said() -> None:
    with pytest.raises(KeyError, match="no source image in extra_info"):
        source_of({"image": "000001.png"})
    with pytest.raises(KeyError, match="has 'bytes', 'image' or 'path'"):
        source_of({"source": {"url": "x"}})
    with pytest.raises(ValueError, match="5 images came where one edit was expected"):
        single_image(torch.zeros(5, 3, 8, 8))
    with pytest.raises(ValueError, match="0 images in the prompt"):
        source_in([{"role": "user", "content": "make it red"}])
    with pytest.raises(ValueError, match=r"set \+reward\.reward_kwargs\.url"):
        EditRrmRewardManager(config=SimpleNamespace(reward={}))


@pytest.mark.parametrize("policy", ["raise", "group_mean"])
async def test_a_measured_reward_does_not_depend_on_the_policy(policy: OnFailure) -> None:
    reward = VerlReward(AsyncRednessScorer(), on_failure=policy, group_size=2)
    scores = await asyncio.gather(*(reward("x", SOURCE, rollout(tenth)) for tenth in (1, 2)))
    assert [score["score"] for score in scores] == [0.1, 0.2]
