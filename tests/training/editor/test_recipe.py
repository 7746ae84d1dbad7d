"""Recipes: the shipped ones can be read, and what cannot be is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from edit_rrm_training.editor.recipe import RecipeError, load_editor_recipe

FOLDER = Path(__file__).parents[3] / "examples" / "editor"
SMALL: dict[str, Any] = {
    "policy": {"kind": "flux-kontext", "model": "x"},
    "prompts": "shapes:train",
    "rewards": {"url": "http://judge:8000"},
}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_can_be_read(path: Path) -> None:
    found = load_editor_recipe(path, steps=7)
    assert found.steps == 7
    assert found.objective.clip == found.clip
    assert found.rewards.failures.min_valid == 2


def test_the_papers_numbers_are_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(SMALL), encoding="utf-8")
    found = load_editor_recipe(path)
    assert (found.group_size, found.kl, found.spread) == (24, 0.04, "group")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"learning_rates": 1}, "learning_rates: there is no such field"),
        ({"policy": {"kind": "sdxl", "model": "x"}}, "policy.kind: Input should be"),
        ({"policy": {"kind": "flux-kontext", "model": "x", "lora": None}}, "a KL needs the frozen model"),
        ({"groups": 5}, "multiple of updates"),
        ({"sampling": {"sampler": "ode"}}, "no density to learn from"),
        ({"sampling": {"steps": 3, "window": 4}}, "longer than"),
        ({"sampling": {"steps": 6, "window": 3, "window_within": 2}}, "at least sampling.window"),
        ({"sampling": {"steps": 6, "window_within": 7}}, "at most sampling.steps"),
        ({"loss": "nft", "kl": 0.0}, "set sampling.sampler: match"),
        ({"loss": "nft", "guard": True, "sampling": {"sampler": "match"}}, "set guard: false"),
        ({"sampling": {"shift": 3.0}}, "sampling.shift is of sampler match"),
        ({"rewards": {"url": "http://x", "min_valid": 30}}, "every group would be dropped"),
        ({"rewards": {"url": "http://x", "mode": "probe", "aggregation": "model"}}, "mode probe writes no score"),
        ({"rewards": {}}, "rewards.url: Field required"),
        ({"group_size": 1}, "group_size: Input should be greater"),
    ],
)
def test_what_cannot_be_is_refused_by_name(changed: dict[str, Any], told: str, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(SMALL | changed), encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load_editor_recipe(path)
    assert told in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"), [("a: [", "is not YAML"), ("- 1", "is no mapping"), (None, "cannot be read")]
)
def test_files_that_are_no_recipe(text: str | None, told: str, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=told):
        load_editor_recipe(path)
