"""Policies against diffusers' own pipelines: without noise they draw the same pictures, of the same latents."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partialmethod
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FluxTransformer2DModel
from PIL import Image

from edit_rrm_training.editor.load import make_trainable, without_adapter
from edit_rrm_training.editor.policies.base import Condition, EditPolicy, PromptTooLongError
from edit_rrm_training.editor.policies.flux_kontext import FluxKontextPolicy
from edit_rrm_training.editor.policies.qwen_image_edit import QwenImageEditPolicy
from edit_rrm_training.editor.recipe import LoraRecipe, PolicyRecipe
from edit_rrm_training.editor.sampling import roll_out
from edit_rrm_training.editor.sde import trajectory
from tests.training.editor.pipelines import INSTRUCTIONS, make_flux, tiny_flux, tiny_qwen

STEPS = 4


def picture(seed: int, width: int = 96, height: int = 64) -> Image.Image:
    """A smooth picture."""
    values = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC)


def flux(**settings: Any) -> FluxKontextPolicy:
    return FluxKontextPolicy(tiny_flux(), **{"text_tokens": 16, "max_pixels": 96 * 96, **settings})


def qwen(**settings: Any) -> QwenImageEditPolicy:
    return QwenImageEditPolicy(
        tiny_qwen(), **{"text_tokens": 512, "max_pixels": 96 * 96, "seen_pixels": 84 * 84, **settings}
    )


POLICIES: list[Callable[..., EditPolicy]] = [flux, qwen]


def drawn(policy: EditPolicy, condition: Condition, seeds: list[int]) -> tuple[Image.Image, ...]:
    return roll_out(policy, condition, trajectory(policy.times(STEPS, condition), "ode", 0.0), seeds).pictures


def difference(one: Image.Image, other: Image.Image) -> float:
    assert one.size == other.size
    return float(np.abs(np.asarray(one, np.float32) - np.asarray(other, np.float32)).max())


def test_kontext_draws_what_its_pipeline_draws() -> None:
    policy, source = flux(), picture(0)
    condition = policy.encode([source], [INSTRUCTIONS[0]])
    expected = tiny_flux()(
        image=source,
        prompt=INSTRUCTIONS[0],
        latents=policy.noise(condition, [5]),
        height=64,
        width=96,
        max_area=64 * 96,
        _auto_resize=False,
        num_inference_steps=STEPS,
        max_sequence_length=16,
        guidance_scale=2.5,
    ).images[0]
    (found,) = drawn(policy, condition, [5])
    assert difference(found, expected) <= 1.0


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_qwen_draws_what_its_pipeline_draws(guidance: float, monkeypatch: pytest.MonkeyPatch) -> None:
    import diffusers.pipelines.qwenimage.pipeline_qwenimage_edit_plus as module

    # The pipeline looks at a source of a megapixel, whatever is drawn; here at one of the same size.
    monkeypatch.setattr(module, "VAE_IMAGE_SIZE", 64 * 96)
    monkeypatch.setattr(module, "CONDITION_IMAGE_SIZE", 64 * 96)
    policy, source = qwen(guidance=guidance, seen_pixels=64 * 96), picture(1)
    condition = policy.encode([source], [INSTRUCTIONS[0]])
    expected = tiny_qwen()(
        image=source,
        prompt=INSTRUCTIONS[0],
        negative_prompt=" " if guidance > 1.0 else None,
        true_cfg_scale=guidance,
        latents=policy.noise(condition, [5]),
        height=64,
        width=96,
        num_inference_steps=STEPS,
    ).images[0]
    (found,) = drawn(policy, condition, [5])
    assert difference(found, expected) <= 1.0


@pytest.mark.parametrize("make", POLICIES)
def test_edits_do_not_depend_on_their_batch(make: Callable[..., EditPolicy]) -> None:
    policy = make()
    condition = policy.encode([picture(0), picture(1)], list(INSTRUCTIONS))
    together = drawn(policy, condition, [3, 4])
    alone = drawn(policy, policy.encode([picture(1)], [INSTRUCTIONS[1]]), [4])
    assert difference(together[1], alone[0]) <= 1.0
    assert difference(together[0], together[1]) > 5.0
    group = drawn(policy, condition.take([1, 1, 1]), [7, 8, 4])
    assert difference(group[2], alone[0]) <= 1.0


@pytest.mark.parametrize("make", POLICIES)
@pytest.mark.parametrize(("width", "height", "fit"), [(84, 84, "pad"), (57, 91, "resize"), (300, 200, "resize")])
def test_an_edit_has_the_size_of_its_source(make: Callable[..., EditPolicy], width: int, height: int, fit: str) -> None:
    policy = make(fit=fit)
    source = picture(2, width, height).convert("RGBA")
    (found,) = drawn(policy, policy.encode([source], [INSTRUCTIONS[0]]), [1])
    assert found.size == (width, height)


@pytest.mark.parametrize("make", POLICIES)
def test_what_cannot_be_encoded_is_said(make: Callable[..., EditPolicy]) -> None:
    with pytest.raises(ValueError, match="several buckets"):
        make().encode([picture(0), picture(0, 64, 64)], list(INSTRUCTIONS))
    with pytest.raises(PromptTooLongError, match="shorten it, or raise text_tokens"):
        make(text_tokens=16).encode([picture(0)], ["make the red star blue " * 30])


@pytest.mark.parametrize("make", [flux, qwen])
@pytest.mark.parametrize(("width", "height"), [(96, 64), (301, 83)])
def test_a_prompt_that_could_not_be_encoded_is_found_without_weights(
    make: Callable[..., FluxKontextPolicy | QwenImageEditPolicy], width: int, height: int
) -> None:
    source, text = picture(0, width, height), "make <|im_start|> the red star blue, \n\n and 3 circles grün "
    with pytest.raises(PromptTooLongError) as encoding:
        make(text_tokens=1).encode([source], [text])
    with pytest.raises(PromptTooLongError) as checking:
        make(text_tokens=1).check(text, (height, width))
    assert str(checking.value) == str(encoding.value)
    found = re.search(r"(\d+) tokens", str(encoding.value))
    assert found
    tokens = int(found[1])
    make(text_tokens=tokens).check(text, (height, width))
    with pytest.raises(PromptTooLongError):
        make(text_tokens=tokens - 1).check(text, (height, width))
    with pytest.raises(ValueError, match="scale it down, or fit: resize"):
        make(fit="pad", max_pixels=64 * 64).check("x", (height, width))


@pytest.mark.parametrize("make", POLICIES)
def test_times_fall_from_noise_to_a_picture(make: Callable[..., EditPolicy]) -> None:
    policy = make()
    times = policy.times(5, policy.encode([picture(0)], [INSTRUCTIONS[0]]))
    assert len(times) == 6
    assert (times[0], times[-1]) == (1.0, 0.0)
    assert trajectory(times, "sde", 0.7)


def test_an_adapter_changes_nothing_until_it_is_trained_and_can_be_taken_off() -> None:
    pipeline = make_flux()
    policy = FluxKontextPolicy(pipeline, text_tokens=16, max_pixels=96 * 96)
    condition = policy.encode([picture(0)], [INSTRUCTIONS[0]])
    latents = policy.noise(condition, [1])
    before = policy.velocity(latents, 0.7, condition).detach()
    recipe = PolicyRecipe(kind="flux-kontext", model="tiny", lora=LoraRecipe(rank=4, alpha=8))
    pipeline.transformer.requires_grad_(False)
    trained = make_trainable(recipe, pipeline)
    assert 0 < sum(map(torch.numel, trained)) < 200_000
    assert torch.allclose(policy.velocity(latents, 0.7, condition).detach(), before, atol=1e-6)
    with torch.no_grad():
        for parameter in trained:
            parameter.add_(0.1)
    assert not torch.allclose(policy.velocity(latents, 0.7, condition).detach(), before, atol=1e-3)
    with without_adapter(pipeline.transformer):
        assert torch.allclose(policy.velocity(latents, 0.7, condition).detach(), before, atol=1e-6)
    wrong = PolicyRecipe(kind="flux-kontext", model="tiny", lora=LoraRecipe(targets=("nothing",)))
    with pytest.raises(ValueError, match=r"policy\.lora\.targets"):
        make_trainable(wrong, pipeline)


# torch warns of looking for a gradient where there is none, and looks for one itself when it compiles.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_a_compiled_transformer_moves_as_before_and_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = make_flux()
    transformer = pipeline.transformer
    policy = FluxKontextPolicy(pipeline, text_tokens=16, max_pixels=96 * 96)
    condition = policy.encode([picture(0)], [INSTRUCTIONS[0]])
    latents = policy.noise(condition, [1])
    before, names = policy.velocity(latents, 0.7, condition).detach(), list(transformer.state_dict())
    # Traced as ever, and run without the C++ compiler that a machine may not have.
    monkeypatch.setattr(
        type(transformer),
        "compile_repeated_blocks",
        partialmethod(FluxTransformer2DModel.compile_repeated_blocks, backend="aot_eager"),
    )
    trained = make_trainable(PolicyRecipe(kind="flux-kontext", model="tiny", lora=None, compile=True), pipeline)
    with torch.no_grad():
        assert torch.allclose(policy.velocity(latents, 0.7, condition), before, atol=1e-5)
    policy.velocity(latents, 0.7, condition).square().mean().backward()
    assert all(parameter.grad is not None for parameter in trained)
    assert list(transformer.state_dict()) == names
    for block in (*transformer.transformer_blocks, *transformer.single_transformer_blocks):
        assert block._compiled_call_impl is not None


def test_an_adapter_begins_with_the_runs_seed_alone() -> None:
    """So that a run that was killed before its first checkpoint begins again where it began."""

    def begun(seed: int, drawn_before: int) -> torch.Tensor:
        pipeline = make_flux()
        pipeline.transformer.requires_grad_(False)
        torch.manual_seed(drawn_before)
        before = torch.get_rng_state()
        recipe = PolicyRecipe(kind="flux-kontext", model="tiny", lora=LoraRecipe(rank=2))
        trained = make_trainable(recipe, pipeline, seed=seed)
        assert torch.equal(torch.get_rng_state(), before)
        return torch.nn.utils.parameters_to_vector(trained)

    assert torch.equal(begun(3, 0), begun(3, 1))
    assert not torch.equal(begun(3, 0), begun(4, 0))
