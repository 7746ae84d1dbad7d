"""A run's folder and another recipe: what changes no update may differ, what does may not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edit_rrm_training.editor.recipe import EditorRecipe
from edit_rrm_training.editor.run_record import DEFAULTS, may_change, recorded
from edit_rrm_training.judge.run_folder import RUN_FILE, claim

SMALL: dict[str, Any] = {
    "policy": {"kind": "flux-kontext", "model": "x"},
    "prompts": "shapes:train",
    "rewards": {"url": "http://judge:8000"},
}


def recipe(**changes: Any) -> EditorRecipe:
    """The smallest, with some fields changed; those of a part by `part={field: value}`."""
    values = dict(SMALL)
    for name, value in changes.items():
        values[name] = {**SMALL.get(name, {}), **value} if isinstance(value, dict) else value
    return EditorRecipe.model_validate(values)


def claimed(folder: Path, made: EditorRecipe) -> dict[str, Any]:
    claim(folder, recorded(made), resume=True, may_change=may_change(made), defaults=DEFAULTS)
    found: dict[str, Any] = json.loads((folder / RUN_FILE).read_text())
    return found


def begun(folder: Path, **changes: Any) -> Path:
    claimed(folder, recipe(**changes))
    (folder / "checkpoints").mkdir()
    return folder


@pytest.mark.parametrize(
    "changes",
    [
        {"keep": 1},
        {"steps": 600},
        {"save_every": 5},
        {"report_to": []},
        {"micro_batch": 1},
        {"sampling": {"batch": 4}},
        {"policy": {"gradient_checkpointing": True}},
        {"policy": {"compile": True}},
        {"evaluation": {"count": 8, "every": 10, "steps": 6}},
        {"rewards": {"max_failed": 0.5}},
        {"rewards": {"in_flight": 2, "timeout": 60.0, "api_key_env": "KEY", "url": "http://other:8000"}},
    ],
    ids=str,
)
def test_what_changes_no_update_may_change_and_is_recorded(changes: dict[str, Any], tmp_path: Path) -> None:
    assert claimed(begun(tmp_path), recipe(**changes)) == recorded(recipe(**changes))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"updates": 4}, "updates: 2 there, 4 here"),
        ({"sampling": {"steps": 8}}, "sampling.steps: 6 there, 8 here"),
        ({"policy": {"lora": {"rank": 8}}}, "policy.lora.rank: 64 there, 8 here"),
        ({"policy": {"dtype": "float32"}}, "policy.dtype: 'bfloat16' there, 'float32' here"),
        ({"evaluation": {"prompts": "shapes:val"}}, "evaluation.prompts: None there, 'shapes:val' here"),
        ({"rewards": {"staleness": 1}}, "rewards.staleness: 0 there, 1 here"),
        ({"sampling": {"batch": 4, "steps": 8}, "keep": 1}, "(sampling.steps: 6 there, 8 here)"),
        ({"groups": 4, "seed": 1}, "(groups: 48 there, 4 here; seed: 0 there, 1 here)"),
    ],
    ids=str,
)
def test_what_changes_updates_is_refused_field_by_field(changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    before = (begun(tmp_path) / RUN_FILE).read_text()
    with pytest.raises(ValueError, match="begun otherwise") as caught:
        claimed(tmp_path, recipe(**changes))
    assert told in str(caught.value)
    assert (tmp_path / RUN_FILE).read_text() == before


def test_a_whole_model_is_not_gone_on_with_as_an_adapter(tmp_path: Path) -> None:
    begun(tmp_path, policy={"lora": None}, kl=0.0)
    with pytest.raises(ValueError, match=r"policy\.lora: None there, \{.*'rank': 64.*\} here"):
        claimed(tmp_path, recipe(kl=0.0))


def without(record: dict[str, Any], *paths: str) -> dict[str, Any]:
    """A record as it was before there were some fields."""
    found: dict[str, Any] = json.loads(json.dumps(record))
    for path in paths:
        *parts, name = path.split(".")
        part = found
        for one in parts:
            part = part[one]
        del part[name]
    return found


NEWER = ("adam_epsilon", "sampling.shift", "rewards.aggregation", "policy.lora.targets", "evaluation")
"""Stand for fields of a later version, of every kind there is."""


def test_a_run_of_an_earlier_version_had_the_defaults(tmp_path: Path) -> None:
    made = recipe()
    old = begun(tmp_path) / RUN_FILE
    old.write_text(json.dumps(without(recorded(made), *NEWER)))
    assert claimed(tmp_path, made) == recorded(made)
    old.write_text(json.dumps(without(recorded(made), *NEWER)))
    with pytest.raises(ValueError, match=r"\(adam_epsilon: 1e-08 there, 0\.001 here\)"):
        claimed(tmp_path, recipe(adam_epsilon=1e-3))


def test_defaults_are_of_every_field_that_has_one() -> None:
    """Or a field that is added would keep old runs from being gone on with."""
    least = recorded(EditorRecipe.model_validate(SMALL))
    assert set(least) - set(DEFAULTS) == {"stage", "prompts"}
    assert set(least["policy"]) - set(DEFAULTS["policy"]) == {"kind", "model"}
    assert {name: value for name, value in least.items() if name not in {"stage", "prompts", "policy", "rewards"}} == {
        name: value for name, value in DEFAULTS.items() if name not in {"policy", "rewards"}
    }


@pytest.mark.parametrize("path", sorted(may_change(recipe())))
def test_every_path_is_a_fields(path: str) -> None:
    found: Any = recipe().model_dump()
    for name in path.split("."):
        found = found[name]


def test_the_record_holds_no_url() -> None:
    assert "judge:8000" not in json.dumps(recorded(recipe()))


@pytest.mark.parametrize("changes", [{"save_every": 7}, {"evaluation": {"every": 7}}])
def test_late_rewards_are_waited_for_where_they_were(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Or the step after would be drawn by other weights."""
    for staleness in (0, 1):
        folder = tmp_path / str(staleness)
        (folder / "checkpoints").mkdir(parents=True)
        claimed(folder, recipe(rewards={"staleness": staleness}))
        other = recipe(rewards={"staleness": staleness}, **changes)
        if staleness:
            with pytest.raises(ValueError, match=r"begun otherwise \((evaluation\.|save_)every: 20 there, 7 here\)"):
                claimed(folder, other)
        else:
            claimed(folder, other)
