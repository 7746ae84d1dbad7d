"""A flat batch goes to the service in groups and comes back in its own order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edit_rrm.verdicts import Outcome
from edit_rrm_client import FailureBudget, FailureBudgetError, FailurePolicy, UnscoredError, group_advantages
from edit_rrm_client.adapters.batch import score_batch
from tests.client.adapters.scorer import RednessScorer

SOURCES = [Image.new("RGB", (16, 16), colour) for colour in ("white", "gray")]
INSTRUCTIONS = ["make it red", "make it redder"]


def edit(tenth: int) -> Image.Image:
    """An edit worth so many tenths; 0 is one that cannot be measured."""
    return Image.new("RGB", (16, 16), (round(tenth * 25.5), 0, 0))


Item = st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 10))


@given(st.lists(Item, min_size=1, max_size=30))
def test_groups_go_together_and_every_edit_comes_back_to_its_place(items: list[tuple[int, int, int]]) -> None:
    client = RednessScorer()
    instructions = [INSTRUCTIONS[item[0]] for item in items]
    # Some sources are the same object, some only the same picture.
    sources = [SOURCES[item[1]] if index % 2 else SOURCES[item[1]].copy() for index, item in enumerate(items)]
    batch = score_batch(client, instructions, sources, [edit(item[2]) for item in items])
    assert len(client.asked) == len({item[:2] for item in items})
    assert batch.mask.tolist() == [item[2] > 0 for item in items]
    expected = [item[2] / 10 if item[2] else np.nan for item in items]
    assert batch.rewards.tolist() == pytest.approx(expected, nan_ok=True)
    assert sorted(place for group in batch.groups for place in group) == list(range(len(items)))

    if not batch.mask.any():
        with pytest.raises(UnscoredError, match="edits were not scored"):
            batch.neutral()
        return
    filled = batch.neutral()
    assert np.isfinite(filled).all()
    assert (filled[batch.mask] == batch.rewards[batch.mask]).all()
    for places in batch.groups:
        members = list(places)
        blind, _ = group_advantages(filled[members], np.ones(len(members), bool))
        seeing, counts = group_advantages(filled[members], batch.mask[members])
        assert blind[~batch.mask[members]] == pytest.approx(0.0, abs=2e-2)
        if counts.any():
            # Of the same sign and order as a trainer that knows the mask would have them.
            assert (np.sign(np.round(blind[counts], 3)) == np.sign(np.round(seeing[counts], 3))).all()


def test_the_budget_counts_what_failed() -> None:
    budget = FailureBudget(FailurePolicy(max_failed=0.2, window=10))
    with pytest.raises(FailureBudgetError):
        score_batch(RednessScorer(), ["x"] * 10, [SOURCES[0]] * 10, [edit(5)] * 7 + [edit(0)] * 3, budget=budget)


def test_lengths_have_to_agree_and_reasons_stay() -> None:
    with pytest.raises(ValueError, match="2 instructions, 1 sources and 1 edits"):
        score_batch(RednessScorer(), ["x", "y"], [SOURCES[0]], [edit(5)])
    batch = score_batch(RednessScorer(), ["x"], [SOURCES[0]], [edit(0)])
    assert batch.results[0].outcome is Outcome.TIMED_OUT
    with pytest.raises(UnscoredError, match="timed_out: no") as caught:
        batch.neutral()
    assert caught.value.retryable
    assert not caught.value.result.mask.any()


def test_sources_may_be_an_array_of_them() -> None:
    sources = np.stack([np.asarray(source) for source in SOURCES])
    batch = score_batch(RednessScorer(), ["x", "x"], sources, [edit(5), edit(7)])  # type: ignore[arg-type]  # as trainers have them
    assert batch.rewards.tolist() == pytest.approx([0.5, 0.7])
    assert len(batch.groups) == 2
