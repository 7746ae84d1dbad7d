"""Recipes are read, overridden, and refused by name."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from edit_rrm_training.judge.gcpo_recipe import GcpoRecipe
from edit_rrm_training.judge.recipes import load_recipe, recipe_names
from edit_rrm_training.judge.seeing import SeeingRecipe
from edit_rrm_training.judge.sft import SftRecipe
from edit_rrm_training.judge.vlm_sft_recipe import VlmSftRecipe


def test_nano_ships_and_loads() -> None:
    assert "nano" in recipe_names()
    recipe = load_recipe("nano", SftRecipe)
    assert recipe.size == "nano"
    assert recipe.steps > 0
    assert isinstance(recipe.seeing, SeeingRecipe)


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_that_ships_says_what_its_file_says(name: str) -> None:
    written = yaml.safe_load(files("edit_rrm_training.judge.recipes").joinpath(f"{name}.yaml").read_text())
    kind = GcpoRecipe if name.endswith("gcpo") else VlmSftRecipe if name in ("sft", "nano-sft") else SftRecipe
    recipe = load_recipe(name, kind)  # type: ignore[type-var]  # one of the three
    for field, value in written.items():
        found = getattr(recipe, field)
        found = list(found) if isinstance(found, tuple) else found
        assert found == (SeeingRecipe(**value) if isinstance(value, dict) else value), field


def test_arguments_win_over_the_file() -> None:
    assert load_recipe("nano", SftRecipe, steps=7).steps == 7


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("size: nano\nsteps: 12\n")
    assert load_recipe(str(path), SftRecipe).steps == 12
    path.write_text("# nothing but defaults\n")
    assert load_recipe(str(path), SftRecipe).seed == load_recipe("nano", SftRecipe).seed


def test_an_unknown_field_is_named_with_those_there_are(tmp_path: Path) -> None:
    path = tmp_path / "typo.yaml"
    path.write_text("stepz: 12\n")
    with pytest.raises(ValueError, match=r"unknown fields \['stepz'\].*steps"):
        load_recipe(str(path), SftRecipe)
    path.write_text("- steps\n")
    with pytest.raises(ValueError, match="no mapping"):
        load_recipe(str(path), SftRecipe)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeing: {stepz: 3}", r"seeing.*unknown fields \['stepz'\]"),
        ("seeing: long", "no mapping"),
        ("steps: [1", "is not YAML"),
        ("size: huge", "no size 'huge'; there are: pico, nano, micro"),
        ("split: test", "no split 'test'; there are: train"),
        ("steps: many", "steps: Input should be a valid integer"),
    ],
)
def test_a_recipe_that_cannot_run_says_why(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        load_recipe(str(path), SftRecipe)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rollouts: 1", "at least 2"),
        ("data: my-pairs", "is none of shapes:SPLIT, .*pairs:PATH"),
        ("vllm_memory: 1.5", "a share of a device's memory, between 0 and 1"),
        ("vllm_memory: 0", "a share of a device's memory, between 0 and 1"),
        ("vllm_max_length: 256", "max_completion_tokens = 256 leave no room for a prompt"),
        ("ties: lose", "ties: Input should be 'zero', 'half' or 'drop'"),
        ("size: nano", "unknown fields"),
    ],
)
def test_a_gcpo_recipe_that_cannot_run_says_why(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        load_recipe(str(path), GcpoRecipe)


@pytest.mark.parametrize(("devices", "updates", "steps"), [(1, 1, 2), (2, 1, 1), (1, 2, 2)])
def test_generation_batches_are_shared_out(devices: int, updates: int, steps: int) -> None:
    recipe = GcpoRecipe(pairs_per_step=8, rollouts=4, micro_batch=32, updates_per_generation=updates)
    assert recipe.generation_steps(devices) == steps


@pytest.mark.parametrize(("devices", "updates"), [(3, 1), (4, 1), (1, 3)])
def test_generation_batches_that_do_not_divide_are_refused(devices: int, updates: int) -> None:
    recipe = GcpoRecipe(pairs_per_step=8, rollouts=4, micro_batch=32, updates_per_generation=updates)
    with pytest.raises(ValueError, match="64 rollouts do not divide"):
        recipe.generation_steps(devices)


def test_an_unknown_recipe_names_those_there_are(tmp_path: Path) -> None:
    for name in ("no-such-recipe", str(tmp_path)):
        with pytest.raises(ValueError, match="neither a file nor one of gcpo, micro, nano"):
            load_recipe(name, SftRecipe)
