"""Recipes: the shipped ones can be read, and what cannot be is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from edit_rrm.verdicts import Mode
from edit_rrm_training.editor.recipe import RecipeError, load_editor_recipe, override_of

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
    assert found.failures.min_valid == 2


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


def test_the_command_line_sets_a_field_or_a_fields_field(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(SMALL), encoding="utf-8")
    texts = ["groups=96", "rewards.mode=probe", "policy.lora=null", "kl=0", "learning_rate=1e-4", "evaluation.count=3"]
    found = load_editor_recipe(path, **dict(map(override_of, texts)))
    assert (found.groups, found.rewards.mode, found.policy.lora, found.kl) == (96, Mode.PROBE, None, 0.0)
    assert (found.learning_rate, found.evaluation.count, found.rewards.url) == (1e-4, 3, "http://judge:8000")


@pytest.mark.parametrize("text", ["groups", "=3", "rewards.=3", "groups=[1"])
def test_what_is_no_setting_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match=r"is not FIELD=VALUE, such as groups=96"):
        override_of(text)


def test_a_field_without_fields_has_none_to_set(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(SMALL), encoding="utf-8")
    with pytest.raises(RecipeError, match=r"prompts has no fields, so that there is no prompts\.file"):
        load_editor_recipe(path, **{"prompts.file": "x"})
    with pytest.raises(RecipeError, match=r"rewards\.modes: there is no such field"):
        load_editor_recipe(path, **{"rewards.modes": "probe"})


def test_cps_needs_a_step_that_draws(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(SMALL), encoding="utf-8")
    with pytest.raises(RecipeError, match=r"longer than sampling\.steps \(1, of which the last of sampler cps draws"):
        load_editor_recipe(path, sampling={"sampler": "cps", "steps": 1})


def test_failures_are_counted_over_steps(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(SMALL), encoding="utf-8")
    found = load_editor_recipe(path, groups=10, group_size=6, **{"rewards.failed_over": 3, "rewards.max_failed": 0.1})
    assert (found.failures.window, found.failures.max_failed) == (180, 0.1)
