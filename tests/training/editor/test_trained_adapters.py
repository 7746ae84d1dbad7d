"""Adapters of pipelines of the real classes: loaded, updated, saved, and gone on with as if nothing had been."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image
from safetensors.torch import load_file

from edit_rrm.verdicts import Aggregation, Mode
from edit_rrm_client import Group, GroupResult
from edit_rrm_training.editor.advantages import advantages_of
from edit_rrm_training.editor.edit import load_editor
from edit_rrm_training.editor.editor_card import EditorCard
from edit_rrm_training.editor.learner import Experience, Learner
from edit_rrm_training.editor.load import load_pipeline, make_trainable, policy_of, without_adapter
from edit_rrm_training.editor.policies.base import EditPolicy
from edit_rrm_training.editor.prepared import prepare
from edit_rrm_training.editor.recipe import PolicyRecipe
from edit_rrm_training.editor.run import train_editor
from edit_rrm_training.editor.sampling import roll_out
from edit_rrm_training.editor.saved_editor import save_editor
from edit_rrm_training.editor.scoring import Judge
from edit_rrm_training.editor.sde import trajectory
from tests.client.fake_service import judging_service
from tests.training.editor import test_run
from tests.training.editor.pipelines import INSTRUCTIONS, tiny_qwen
from tests.training.editor.test_sharded_editor import redness_of_a_corner
from tests.training.editor.toy_run import recipe

SOURCE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def models(model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small pipeline of each kind, saved."""
    qwen = tmp_path_factory.mktemp("tiny") / "qwen"
    tiny_qwen().save_pretrained(qwen)
    return {"flux-kontext": model, "qwen-image-edit": qwen}


class Loaded(NamedTuple):
    """A pipeline with an adapter, as a policy."""

    recipe: PolicyRecipe
    pipeline: Any
    policy: EditPolicy
    trained: list[torch.nn.Parameter]


def loaded(kind: str, models: dict[str, Path], **fields: Any) -> Loaded:
    made = PolicyRecipe.model_validate(
        {
            "kind": kind,
            "model": str(models[kind]),
            "dtype": "float32",
            "text_tokens": {"flux-kontext": 16, "qwen-image-edit": 512}[kind],
            "max_pixels": 64 * 64,
            "lora": {"rank": 2, "alpha": 4},
            **fields,
        }
    )
    pipeline = load_pipeline(made, "cpu")
    trained = make_trainable(made, pipeline, seed=1)
    return Loaded(made, pipeline, policy_of(made, pipeline), trained)


def test_a_qwen_editor_learns_and_is_held_by_the_model_without_its_adapter(
    models: dict[str, Path], tmp_path: Path
) -> None:
    made, pipeline, policy, _ = loaded("qwen-image-edit", models)
    assert type(pipeline) is type(tiny_qwen())
    transformer, accelerator = pipeline.transformer, Accelerator(cpu=True)
    run = recipe(policy=made.model_dump(), kl=1.0, learning_rate=1e-2, micro_batch=2)
    prepared = prepare(accelerator, transformer, run)
    policy.use(prepared.module)
    learner = Learner(
        policy,
        prepared.optimisation,
        accelerator,
        run.objective,
        reference=partial(without_adapter, transformer),
        micro_batch=run.micro_batch,
    )
    condition = policy.encode([SOURCE], [INSTRUCTIONS[0]])
    steps = trajectory(policy.times(3, condition), "sde", 0.7, stochastic=range(1))
    rollouts = roll_out(policy, condition.take([0] * 3), steps, [1, 2, 3])
    ((advantages, counts),) = advantages_of([np.array([0.1, 0.5, 0.9], np.float32)], "group", run.failures)
    before = {name: value.detach().clone() for name, value in transformer.named_parameters()}
    first, second = (learner.update([Experience(rollouts, advantages, counts)]) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.grad_norm > 0.0
    # An adapter begins as nothing, so the first pass is the frozen model's; the second is not.
    assert first.ratio_deviation == pytest.approx(0.0, abs=1e-5)
    assert first.kl == pytest.approx(0.0, abs=1e-9)
    assert second.ratio_deviation > 1e-5
    assert second.kl > 1e-9
    changed = {name for name, value in transformer.named_parameters() if not torch.equal(value, before[name])}
    # The last block's text leads nowhere: what it asks has no gradient.
    asks = "transformer_blocks.1.attn.add_q_proj."
    assert changed == {name for name in before if "lora_" in name and not name.startswith(asks)}
    # What is saved of it edits as it does.
    weights = prepared.trained.whole(prepared.trained.precise(), keep=True)
    save_editor(tmp_path, EditorCard(policy=made, judge="a", steps=2), pipeline, weights)
    latents = policy.noise(condition, [4])
    with torch.no_grad():
        ours, again = (one.velocity(latents, 0.7, condition) for one in (policy, load_editor(tmp_path)))
        with without_adapter(transformer):
            frozen = policy.velocity(latents, 0.7, condition)
    assert torch.allclose(again, ours, atol=1e-5)
    assert not torch.allclose(frozen, ours, atol=1e-4)


@pytest.mark.parametrize("kind", ["flux-kontext", "qwen-image-edit"])
def test_gradient_checkpointing_makes_the_same_gradients(kind: str, models: dict[str, Path]) -> None:
    found = []
    for checkpointing in (False, True):
        _, pipeline, policy, trained = loaded(kind, models, gradient_checkpointing=checkpointing)
        with torch.no_grad():
            for number, parameter in enumerate(trained):
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
        condition = policy.encode([SOURCE], [INSTRUCTIONS[0]])
        entered: list[int] = []
        block = pipeline.transformer.transformer_blocks[0]
        block.register_forward_pre_hook(lambda *_, entered=entered: entered.append(1))
        policy.velocity(policy.noise(condition, [1]), 0.7, condition).square().mean().backward()
        found.append((len(entered), [_gradient(parameter) for parameter in trained]))
    (passes, plain), (more, checkpointed) = found
    assert more == 2 * passes, "blocks are passed once more on the way back"
    assert all(torch.allclose(one, other, atol=1e-7, rtol=1e-4) for one, other in zip(plain, checkpointed, strict=True))
    assert sum(bool(one.abs().max() > 0.0) for one in plain) >= len(plain) - 2


def _gradient(parameter: torch.nn.Parameter) -> torch.Tensor:
    assert parameter.grad is not None
    return parameter.grad


def test_an_adapter_begins_with_its_seeds_weights(models: dict[str, Path]) -> None:
    torch.manual_seed(5)
    one = loaded("flux-kontext", models).trained
    torch.manual_seed(6)
    drawn, again = torch.rand(1), loaded("flux-kontext", models).trained
    assert all(torch.equal(here, there) for here, there in zip(one, again, strict=True))
    torch.manual_seed(6)
    assert torch.equal(torch.rand(1), drawn)
    other = load_pipeline(loaded("flux-kontext", models).recipe, "cpu")
    differing = make_trainable(loaded("flux-kontext", models).recipe, other, seed=2)
    assert any(not torch.equal(here, there) for here, there in zip(one, differing, strict=True))


class _Interrupted:
    """Asks a judge, until the process is interrupted."""

    def __init__(self, judge: Judge, groups: int) -> None:
        self._judge = judge
        self._left = groups

    def score_groups(
        self, groups: Sequence[Group], *, mode: Mode = Mode.THINK, aggregation: Aggregation | None = None
    ) -> list[GroupResult]:
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt
        return self._judge.score_groups(groups, mode=mode, aggregation=aggregation)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_an_interrupted_run_ends_with_the_adapter_of_an_uninterrupted_one(model: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    SOURCE.resize((32, 32)).save(tmp_path / "a.png")
    lines = [json.dumps({"instruction": text, "source": "a.png"}) + "\n" for text in INSTRUCTIONS]
    prompts.write_text("".join(lines), encoding="utf-8")
    with judging_service(redness_of_a_corner) as url:
        made = test_run.recipe(model, prompts, url, steps=3, evaluation={"prompts": None}, report_to=[])
        train_editor(made, tmp_path / "whole", say=lambda _: None)
        # Two groups a step: once before there is a checkpoint, and once after the first one.
        for groups in (1, 3):
            with pytest.raises(KeyboardInterrupt):
                train_editor(made, tmp_path / "parts", through=partial(_Interrupted, groups=groups), say=lambda _: None)
        newest = [path.name for path in (tmp_path / "parts" / "checkpoints").glob("checkpoint-?")]
        train_editor(made, tmp_path / "parts", say=lambda _: None)
    assert newest == ["checkpoint-1"]
    whole, parts = (
        load_file(tmp_path / name / "editor" / "pytorch_lora_weights.safetensors") for name in ("whole", "parts")
    )
    assert whole.keys() == parts.keys()
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())
    assert any(value.abs().max() > 0.0 for name, value in whole.items() if "lora_B" in name)
    logs = [(tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("whole", "parts")]
    rewards = [[(entry["step"], entry["reward"]) for entry in map(json.loads, log)] for log in logs]
    assert rewards[0] == rewards[1]
