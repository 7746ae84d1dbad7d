"""`TrlReward` in TRL's own GRPOTrainer: a policy of a few words, whose completions are plans of what to paint."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from edit_rrm_client import FailureBudget, FailureBudgetError, FailurePolicy, ImageInput, group_advantages
from edit_rrm_client.adapters.trl import TrlReward
from tests.client.adapters.scorer import RednessScorer

with warnings.catch_warnings():
    # Said at every import beside a newer vLLM, also where vLLM is not asked to generate.
    warnings.filterwarnings("ignore", "TRL currently supports vLLM")
    from trl import GRPOConfig, GRPOTrainer

WORDS = ("<pad>", "<end>", "paint", "none", "dark", "dim", "red", "bright")
REDNESS = {"dark": 51, "dim": 102, "red": 204, "bright": 255}
"""Of an edit that its plan begins with this word; any other is black, and nothing is measured of it."""
SOURCES = [Image.new("RGB", (16, 16), colour) for colour in ("white", "gray")]
GROUP = 8


def draw(completions: Sequence[str], columns: dict[str, Any]) -> list[ImageInput]:
    first = [(text.split() or ["none"])[0] for text in completions]
    return [Image.new("RGB", (16, 16), (REDNESS.get(word, 0), 0, 0)) for word in first]


def even(prompts: Sequence[Any], completions: Sequence[Any], **_: Any) -> list[float]:
    """Another reward, the same for all."""
    return [0.5] * len(completions)


def trainer(folder: Path, reward: TrlReward, *others: Any, **settings: Any) -> Any:
    """A policy of 9,000 weights that says one or two words."""
    torch.manual_seed(0)
    words = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<pad>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<end>")
    shape = Qwen2Config(
        vocab_size=len(WORDS),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        pad_token_id=0,
        eos_token_id=1,
    )
    rows = [{"prompt": "paint", "instruction": "make it red", "source": source} for source in SOURCES] * 8
    arguments = GRPOConfig(
        output_dir=str(folder),
        per_device_train_batch_size=2 * GROUP,
        num_generations=GROUP,
        max_completion_length=2,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",
        shuffle_dataset=False,
        report_to=[],
        remove_unused_columns=False,
        use_cpu=True,
        seed=0,
        **{"max_steps": 3, "learning_rate": 1e-2, **settings},
    )
    return GRPOTrainer(
        Qwen2ForCausalLM(shape),
        reward_funcs=[reward, *others],
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )


@pytest.fixture
def training_as_before() -> Any:
    """Accelerate keeps its state for the whole process."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def steps_of(run: Any) -> list[dict[str, float]]:
    return [entry for entry in run.state.log_history if "rewards/edit_rrm/mean" in entry]


@pytest.mark.usefixtures("training_as_before")
def test_what_was_not_measured_gets_no_advantage_and_poisons_nothing(tmp_path: Path) -> None:
    client = RednessScorer()
    # What TRL keeps for its table of completions is the last batch.
    run = trainer(tmp_path, TrlReward(client, edited=draw), max_steps=1)
    run.train()
    rewards = torch.tensor(list(run._logs["rewards"]["edit_rrm"]), dtype=torch.float64).view(-1, GROUP)
    advantages = torch.tensor(list(run._logs["advantages"]), dtype=torch.float64).view(-1, GROUP)
    measured = ~rewards.isnan()
    assert measured.any(1).all(), "every group has something to learn from"
    assert not measured.all(1).any(), "and something that failed"
    expected, _ = group_advantages(rewards.numpy(), measured.numpy())
    assert advantages.numpy() == pytest.approx(expected, abs=1e-4)
    assert (advantages[~measured] == 0.0).all()

    (step,) = steps_of(run)
    assert step["reward"] == pytest.approx(float(rewards[measured].mean()), abs=1e-4)
    assert math.isfinite(step["loss"])
    assert math.isfinite(step["grad_norm"])
    assert all(weights.isfinite().all() for weights in run.model.parameters())
    # Columns of the data set reached the judge, a group's edits together.
    assert {group.instruction for group in client.asked} == {"make it red"}
    assert sorted(len(group.edited) for group in client.asked) == [GROUP, GROUP]


@pytest.mark.usefixtures("training_as_before")
def test_the_policy_learns_what_the_judge_likes(tmp_path: Path) -> None:
    run = trainer(tmp_path, TrlReward(RednessScorer(), edited=draw), max_steps=15, learning_rate=5e-2)
    run.train()
    rewards = [step["rewards/edit_rrm/mean"] for step in steps_of(run)]
    assert sum(rewards[-3:]) / 3 > sum(rewards[:3]) / 3 + 0.15
    assert sum(rewards[-3:]) / 3 > 0.9


@pytest.mark.usefixtures("training_as_before")
def test_nothing_measured_moves_nothing_and_the_budget_stops_it(tmp_path: Path) -> None:
    def black(completions: Sequence[str], columns: dict[str, Any]) -> list[ImageInput]:
        return [Image.new("RGB", (16, 16))] * len(completions)

    run = trainer(tmp_path, TrlReward(RednessScorer(), edited=black), max_steps=1, weight_decay=0.0)
    before = [weights.detach().clone() for weights in run.model.parameters()]
    run.train()
    assert all(torch.equal(one, other) for one, other in zip(before, run.model.parameters(), strict=True))

    budget = FailureBudget(FailurePolicy(window=2 * GROUP))
    run = trainer(tmp_path, TrlReward(RednessScorer(), edited=black, budget=budget))
    with pytest.raises(FailureBudgetError, match=r"100\.0% of the last 16 edits were not scored"):
        run.train()


@pytest.mark.usefixtures("training_as_before")
@pytest.mark.parametrize(
    ("aggregation", "counts_as_zero"), [("sum_then_normalize", True), ("normalize_then_sum", False)]
)
def test_beside_another_reward_it_depends_on_how_they_are_added(
    tmp_path: Path, aggregation: str, counts_as_zero: bool
) -> None:
    run = trainer(
        tmp_path, TrlReward(RednessScorer(), edited=draw), even, max_steps=1, multi_objective_aggregation=aggregation
    )
    run.train()
    rewards = torch.tensor(list(run._logs["rewards"]["edit_rrm"])).view(-1, GROUP)
    advantages = torch.tensor(list(run._logs["advantages"])).view(-1, GROUP)
    unmeasured = advantages[rewards.isnan()]
    # TRL's default punishes an edit for a failure of its judge; the docstring says what to set instead.
    assert bool((unmeasured < -0.1).all()) is counts_as_zero
    assert bool((unmeasured.abs() < 0.1).all()) is not counts_as_zero
