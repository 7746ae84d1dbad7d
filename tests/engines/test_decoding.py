"""Decoding in plain PyTorch: one token's choice, and batches that give what transformers' own `generate` does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edit_rrm_service.engines.base import Prompt, Sampling
from edit_rrm_service.engines.decoding import Row, decode, next_logprobs
from edit_rrm_service.engines.transformers import TransformersEngine
from tests.engines.prompts import decomposition, probes, thinks

PROMPTS = (*thinks(2), decomposition(), probes(1)[2], Prompt("System.", ("Words only.",)))
LIMIT = 24


def row(limit: int = LIMIT, *, stop_after: int | None = None, **sampling: Any) -> Row:
    """A row, cancelled as soon as it has `stop_after` tokens."""
    made = Row(Sampling(limit, **sampling), limit, cancelled=lambda: False)
    if stop_after is not None:
        made.cancelled = lambda: len(made.tokens) >= stop_after
    return made


LOGITS = st.lists(st.floats(-30.0, 30.0, width=32), min_size=2, max_size=12).map(torch.tensor)


@settings(deadline=None)
@given(LOGITS)
def test_greedy_is_the_best_token(logits: torch.Tensor) -> None:
    assert row().choose(logits) == int(logits.argmax())


@settings(deadline=None)
@given(LOGITS, st.floats(0.05, 2.0), st.floats(0.05, 1.0), st.integers(0, 2**31))
def test_samples_come_from_the_nucleus_and_follow_the_seed(
    logits: torch.Tensor, temperature: float, top_p: float, seed: int
) -> None:
    def choices() -> list[int]:
        made = row(temperature=temperature, top_p=top_p, seed=seed)
        return [made.choose(logits) for _ in range(8)]

    drawn = choices()
    assert drawn == choices()
    weights = torch.softmax(logits / temperature, dim=-1)
    for token in drawn:
        better = float(weights[weights > weights[token]].sum())
        assert better < top_p + 1e-5


def test_samples_follow_the_probabilities() -> None:
    made = row(temperature=1.0, seed=1)
    logits = torch.log(torch.tensor([0.7, 0.2, 0.1]))
    counts = torch.bincount(torch.tensor([made.choose(logits) for _ in range(2_000)]), minlength=3)
    assert torch.allclose(counts / 2_000, torch.tensor([0.7, 0.2, 0.1]), atol=0.04)


@pytest.mark.parametrize("temperature", [1e-45, 1e-9, 1e-6])
def test_next_to_no_temperature_is_greedy(temperature: float) -> None:
    assert row(temperature=temperature, seed=1).choose(torch.tensor([1.0, 30.0, 2.0])) == 1


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_model_that_computes_no_numbers_chooses_no_token(temperature: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        row(temperature=temperature).choose(torch.tensor([1.0, float("nan"), 2.0]))


def test_unequal_rows_decode_as_transformers_does(reference: TransformersEngine) -> None:
    rows = [row() for _ in PROMPTS]
    decode(reference._model, reference._inputs(PROMPTS), rows, reference._stop)
    for prompt, made in zip(PROMPTS, rows, strict=True):
        inputs = reference._inputs([prompt])
        settings = {"max_new_tokens": LIMIT, "do_sample": False, "repetition_penalty": 1.0, "temperature": None}
        whole = reference._model.generate(**inputs, **settings)[0, inputs["input_ids"].shape[1] :].tolist()
        assert made.tokens == [token for token in whole if token not in reference._stop]
        assert made.finish_reason == ("length" if len(made.tokens) == LIMIT else "stop")


def test_every_row_has_its_own_limit(reference: TransformersEngine) -> None:
    rows = [row(limit) for limit in (3, LIMIT, 1, 7, 2)]
    decode(reference._model, reference._inputs(PROMPTS), rows, frozenset())
    assert [len(made.tokens) for made in rows] == [3, LIMIT, 1, 7, 2]
    assert {made.finish_reason for made in rows} == {"length"}


def test_a_stop_token_ends_a_row_and_is_not_kept(reference: TransformersEngine) -> None:
    first, second = row(), row()
    decode(reference._model, reference._inputs(PROMPTS[:1]), [first], frozenset())
    stop = first.tokens[5]
    decode(reference._model, reference._inputs(PROMPTS[:1]), [second], frozenset({stop}))
    assert second.tokens == first.tokens[: first.tokens.index(stop)]
    assert second.finish_reason == "stop"


def test_a_cancelled_row_leaves_the_others_alone(reference: TransformersEngine) -> None:
    rows = [row(), row(stop_after=4), row()]
    decode(reference._model, reference._inputs(PROMPTS[:3]), rows, reference._stop)
    assert (rows[1].finish_reason, len(rows[1].tokens)) == (None, 4)
    for index in (0, 2):
        alone = row()
        decode(reference._model, reference._inputs([PROMPTS[index]]), [alone], reference._stop)
        assert rows[index].tokens == alone.tokens


def test_a_sampled_row_does_not_depend_on_its_company(reference: TransformersEngine) -> None:
    rows = [row(), row(temperature=0.8, top_p=0.9, seed=5), row(temperature=1.2, seed=5)]
    decode(reference._model, reference._inputs(PROMPTS[:3]), rows, reference._stop)
    alone = row(temperature=0.8, top_p=0.9, seed=5)
    decode(reference._model, reference._inputs([PROMPTS[1]]), [alone], reference._stop)
    assert rows[1].tokens == alone.tokens


def test_next_logprobs_are_those_of_the_first_generated_token(reference: TransformersEngine) -> None:
    table = next_logprobs(reference._model, reference._inputs(PROMPTS))
    assert table.exp().sum(dim=-1).tolist() == pytest.approx([1.0] * len(PROMPTS), abs=1e-4)
    for prompt, found in zip(PROMPTS, table, strict=True):
        first = row(1)
        decode(reference._model, reference._inputs([prompt]), [first], frozenset())
        assert int(found.argmax()) == first.tokens[0]
        assert torch.allclose(next_logprobs(reference._model, reference._inputs([prompt]))[0], found, atol=1e-3)
