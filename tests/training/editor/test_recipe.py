"""Recipes: the shipped ones can be read, and what cannot be is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from edit_rrm.verdicts import Aggregation, Mode
from edit_rrm_training.cli import train_app
from edit_rrm_training.editor.recipe import EditorRecipe, RecipeError, load_editor_recipe, override_of
from edit_rrm_training.editor.run_record import recorded
from tests.docs.pages import ROOT, blocks

FOLDER = Path(__file__).parents[3] / "examples" / "editor"
SMALL: dict[str, Any] = {
    "policy": {"kind": "flux-kontext", "model": "x"},
    "prompts": "shapes:train",
    "rewards": {"url": "http://judge:8000"},
}


def with_other(**fields: Any) -> dict[str, Any]:
    return {"rewards": {"url": "http://judge:8000", "others": [fields]}}


def held_out(**fields: Any) -> dict[str, Any]:
    return {"evaluation": {"prompts": "shapes:validation", "judge": fields}}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_can_be_read(path: Path) -> None:
    found = load_editor_recipe(path, steps=7)
    assert found.steps == 7
    assert found.objective.clip == found.clip
    assert found.failures.min_valid == 2
    # The shapes world has an oracle; elsewhere another judge has to show whether rewards rise for nothing.
    assert ("held_out_judge" in found.judges) is not found.prompts.startswith("shapes:")


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
        ({"rewards": {"url": "http://x", "weight": 2.0}}, "rewards.weight is beside others"),
        (with_other(name="reward_a"), "reward_a is the name of something else in the log"),
        ({"rewards": {"url": "http://x", "weight": 0}}, "rewards.weight: Input should be greater than 0"),
        (with_other(name="a", weight=0.0), "rewards.others.0.weight: Input should be greater than 0"),
        (with_other(name="a", weight=-1.0), "rewards.others.0.weight: Input should be greater than 0"),
        (with_other(name="a", weight=float("inf")), "rewards.others.0.weight: Input should be a finite number"),
        (with_other(weight=1.0), "rewards.others.0.name: Field required"),
        (with_other(name="a b"), "rewards.others.0.name: a judge's name is 1 to 40 letters"),
        (with_other(name="judge"), "judge is the name of something else in the log"),
        (with_other(name="no_edit"), "no_edit is the name of something else in the log"),
        (with_other(name="a", mode="probe", aggregation="model"), "rewards.others.0: mode probe writes no score"),
        (with_other(name="a", staleness=1), "rewards.others.0.staleness: there is no such field"),
        ({"rewards": {"url": "http://x", "others": [{"name": "a"}] * 2}}, "several judges are called a"),
        (with_other(name="a") | held_out(name="a"), "several judges are called a"),
        (held_out(mode="probe", aggregation="model"), "evaluation.judge: mode probe writes no score"),
        (held_out(name="success"), "success is the name of something else in the log"),
        (held_out(weight=1.0), "evaluation.judge.weight: there is no such field"),
        ({"evaluation": {"judge": {"mode": "probe"}}}, "evaluation: judge has nothing to judge"),
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


SEVERAL = {
    "rewards": {
        "url": ["http://judge:8000", "http://judge:8001"],
        "api_key_env": "MY_KEY",
        "timeout": 60.0,
        "mode": "probe",
        "others": [{"name": "written", "weight": 0.5}, {"name": "second", "url": "http://second", "timeout": 9.0}],
    },
    **held_out(url="http://witness:8000", api_key_env="ITS_KEY", mode="probe", aggregation="min"),
}


def several() -> EditorRecipe:
    return EditorRecipe.model_validate(SMALL | SEVERAL)


def test_judges_share_a_service_where_they_name_none() -> None:
    found = several()
    assert list(found.judges) == ["judge", "written", "second", "held_out_judge"]
    assert found.judges["judge"] is found.rewards
    written, second, witness = (found.judges[name] for name in ("written", "second", "held_out_judge"))
    assert (written.urls, written.api_key_env, written.timeout) == (found.rewards.urls, "MY_KEY", 60.0)
    # How it is asked is its own affair.
    assert (written.mode, written.aggregation) == (Mode.THINK, None)
    # A key that is named for one service is not sent to another.
    assert (second.urls, second.api_key_env, second.timeout) == (("http://second",), "EDIT_RRM_API_KEY", 9.0)
    assert (witness.urls, witness.api_key_env, witness.timeout) == (("http://witness:8000",), "ITS_KEY", 60.0)
    assert (witness.mode, witness.aggregation) == (Mode.PROBE, Aggregation.MIN)
    assert [one.weight for one in found.rewards.others] == [0.5, 1.0]
    assert list(EditorRecipe.model_validate(SMALL).judges) == ["judge"]


def test_the_page_shows_a_recipe_of_several_judges() -> None:
    (shown,) = [
        block.text for block in blocks("yaml", pages=[ROOT / "docs" / "editor-training.md"]) if "others:" in block.text
    ]
    found = EditorRecipe.model_validate(SMALL | yaml.safe_load(shown))
    assert list(found.judges) == ["judge", "probed", "second", "held_out_judge"]


def test_services_are_moved_by_the_names_of_their_judges() -> None:
    before = several()
    moved = before.with_services(
        {"judge": ["http://a"], "second": ["http://b", "http://c"], "held_out_judge": ["http://d"]}
    )
    assert {name: judge.urls for name, judge in moved.judges.items()} == {
        "judge": ("http://a",),
        "written": ("http://a",),
        "second": ("http://b", "http://c"),
        "held_out_judge": ("http://d",),
    }
    assert recorded(moved) == recorded(before)
    assert before.with_services({}) == before
    with pytest.raises(RecipeError, match="no judge third: the file names judge, written, second, held_out_judge"):
        before.with_services({"third": ["http://x"]})
    # Where nothing was evaluated by one, nothing is.
    assert EditorRecipe.model_validate(SMALL).with_services({"judge": ["http://a"]}).evaluation.judge is None


def test_a_folder_remembers_what_was_asked_and_not_where() -> None:
    found = recorded(several())
    assert found["rewards"]["others"][0] == {"name": "written", "weight": 0.5, "mode": "think", "aggregation": None}
    assert found["evaluation"]["judge"] == {"name": "held_out_judge", "mode": "probe", "aggregation": "min"}
    assert not {"url", "api_key_env", "timeout", "in_flight"} & set(found["rewards"])


def test_a_recipe_can_be_written_and_read_again() -> None:
    assert EditorRecipe.model_validate(several().model_dump(mode="json")) == several()


@pytest.mark.parametrize(
    ("given", "told"),
    [("second=http://x", "there is no judge second: the file names judge"), ("http://x", "http://x is not NAME=URL")],
)
def test_a_judge_that_the_file_does_not_name_is_refused(given: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(SMALL), encoding="utf-8")
    arguments = ["editor", "--config", str(path), "--out", str(tmp_path / "run"), "--judge", given]
    result = CliRunner().invoke(train_app, arguments, env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert told in result.output
    assert not (tmp_path / "run").exists()
