"""Recipes are read, overridden, and refused by name."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from edit_rrm_training.judge.recipes import load_recipe, recipe_names
from edit_rrm_training.judge.seeing import SeeingRecipe


def test_nano_ships_and_loads() -> None:
    assert "nano" in recipe_names()
    recipe = load_recipe("nano")
    assert recipe.size == "nano"
    assert recipe.steps > 0
    assert isinstance(recipe.seeing, SeeingRecipe)


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_that_ships_says_what_its_file_says(name: str) -> None:
    written = yaml.safe_load(files("edit_rrm_training.judge.recipes").joinpath(f"{name}.yaml").read_text())
    recipe = load_recipe(name)
    for field, value in written.items():
        found = getattr(recipe, field)
        assert found == (SeeingRecipe(**value) if isinstance(value, dict) else value), field


def test_arguments_win_over_the_file() -> None:
    assert load_recipe("nano", steps=7).steps == 7


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("size: nano\nsteps: 12\n")
    assert load_recipe(str(path)).steps == 12
    path.write_text("# nothing but defaults\n")
    assert load_recipe(str(path)).seed == load_recipe("nano").seed


def test_an_unknown_field_is_named_with_those_there_are(tmp_path: Path) -> None:
    path = tmp_path / "typo.yaml"
    path.write_text("stepz: 12\n")
    with pytest.raises(ValueError, match=r"unknown fields \['stepz'\].*steps"):
        load_recipe(str(path))
    path.write_text("- steps\n")
    with pytest.raises(ValueError, match="no mapping"):
        load_recipe(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeing: {stepz: 3}", r"seeing.*unknown fields \['stepz'\]"),
        ("seeing: long", "no mapping"),
        ("steps: [1", "is not YAML"),
        ("size: huge", "no size 'huge'; there are: nano"),
    ],
)
def test_a_recipe_that_cannot_run_says_why(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        load_recipe(str(path))


def test_an_unknown_recipe_names_those_there_are(tmp_path: Path) -> None:
    for name in ("no-such-recipe", str(tmp_path)):
        with pytest.raises(ValueError, match="neither a file nor one of nano"):
            load_recipe(name)
