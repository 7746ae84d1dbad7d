"""Editors made one: whole ones weight by weight, an adapter by its strength."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from edit_rrm_training.editor.editor_card import EditorCard, EditorError, load_editor_card, save_editor_card
from edit_rrm_training.editor.load import load_pipeline, make_trainable
from edit_rrm_training.editor.merge import merge_editors
from edit_rrm_training.editor.recipe import LoraRecipe, PolicyRecipe
from edit_rrm_training.editor.saved_editor import save_editor
from tests.cli.command import edit_rrm

WEIGHTS = Path("transformer") / "diffusion_pytorch_model.safetensors"
ADAPTER = Path("pytorch_lora_weights.safetensors")


def policy(model: Path, **fields: Any) -> PolicyRecipe:
    values: dict[str, Any] = {"kind": "flux-kontext", "model": str(model), "dtype": "float32", "lora": None}
    return PolicyRecipe.model_validate(values | fields)


def editor(folder: Path, recipe: PolicyRecipe, seed: int, judge: str = "a") -> Path:
    """What a run would have left: every weight changed a little."""
    pipeline = load_pipeline(recipe, "cpu")
    generator = torch.Generator().manual_seed(seed)
    for weights in make_trainable(recipe, pipeline):
        weights.data += 0.1 * torch.randn(weights.shape, generator=generator)
    whole = {name: value.detach() for name, value in pipeline.transformer.named_parameters() if value.requires_grad}
    save_editor(folder, EditorCard(policy=recipe, judge=judge, steps=3), pipeline, whole)
    return folder


@pytest.fixture(scope="module")
def two(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("editors")
    return editor(folder / "a", policy(model), 1), editor(folder / "b", policy(model), 2, judge="b")


@pytest.mark.parametrize("scale", [0.0, 1.0, 1.5])
def test_it_lies_on_the_line_from_the_beginning_to_the_mean(
    scale: float, two: tuple[Path, Path], model: Path, tmp_path: Path
) -> None:
    card = merge_editors(two, tmp_path / "out", scale=scale)
    began, a, b, made = (load_file(folder / WEIGHTS) for folder in (model, *two, tmp_path / "out"))
    for name, value in began.items():
        expected = value + scale * ((a[name] + b[name]) / 2 - value)
        torch.testing.assert_close(made[name], expected, rtol=0.0, atol=1e-6)
    assert load_editor_card(tmp_path / "out") == card
    assert (card.steps, card.judge) == (6, None)
    assert merge_editors(two[:1], tmp_path / "one").judge == "a"


def test_judges_are_remembered_where_all_editors_share_all_of_them(two: tuple[Path, Path], tmp_path: Path) -> None:
    for name in ("x", "y"):
        shutil.copytree(two[0], tmp_path / name)
        card = load_editor_card(two[0])
        save_editor_card(card.model_copy(update={"others": {"second": "b" if name == "x" else "c"}}), tmp_path / name)
    x, y = tmp_path / "x", tmp_path / "y"
    same = merge_editors([x, x], tmp_path / "same")
    assert (same.judge, same.others) == ("a", {"second": "b"})
    other = merge_editors([x, y], tmp_path / "other")
    assert (other.judge, other.others) == (None, {})


def test_an_adapter_is_scaled_and_two_are_refused(model: Path, tmp_path: Path) -> None:
    recipe = policy(model, lora=LoraRecipe(rank=2, alpha=2))
    one, other = (editor(tmp_path / name, recipe, seed) for seed, name in enumerate("ab"))
    merge_editors([one], tmp_path / "out", scale=1.5)
    before, after = (load_file(folder / ADAPTER) for folder in (one, tmp_path / "out"))
    for name, value in before.items():
        torch.testing.assert_close(after[name], value * (1.5 if "lora_B" in name else 1.0))
    with pytest.raises(ValueError, match=r"merge one, or train with policy\.lora: null"):
        merge_editors([one, other], tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_editors_of_other_beginnings_and_other_folders_are_refused(
    two: tuple[Path, Path], model: Path, tmp_path: Path
) -> None:
    adapter = editor(tmp_path / "adapter", policy(model, lora=LoraRecipe(rank=2, alpha=2)), 1)
    with pytest.raises(ValueError, match="did not begin with the same model"):
        merge_editors([two[0], adapter], tmp_path / "out")
    with pytest.raises(EditorError, match=r"has no edit_rrm_editor\.json"):
        merge_editors([two[0], tmp_path], tmp_path / "out")


def test_what_would_change_nothing_or_write_over_an_editor_is_refused(two: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not say which model its training began with"):
        merge_editors(["nano-grpo"], tmp_path / "out", scale=1.5)
    before = (two[1] / WEIGHTS).read_bytes()
    with pytest.raises(ValueError, match="choose another folder for the new one"):
        merge_editors(two, two[1], scale=1.5)
    assert (two[1] / WEIGHTS).read_bytes() == before


@pytest.mark.slow
def test_the_command_line(two: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = edit_rrm("merge", "--editor", str(two[0]), "--editor", str(two[1]), "--scale", "1.2", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"editor: {out}"
    assert load_editor_card(out).steps == 6
    done = edit_rrm("merge", "--editor", str(tmp_path / "none"), "--out", str(out))
    assert done.returncode == 1
    assert "has no edit_rrm_editor.json" in done.stderr
