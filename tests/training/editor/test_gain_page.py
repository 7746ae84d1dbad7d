"""What docs/editor-training.md says nano-editor gains is what was measured, and what `make editor` does."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from edit_rrm_training.editor.curves import read_run
from edit_rrm_training.editor.editor_card import load_editor_card
from edit_rrm_training.editor.recipe import load_editor_recipe
from edit_rrm_training.editor.shipped import editor_path
from tests.training.editor.page import (
    MEASURES,
    PAGE,
    RESULTS,
    ROOT,
    curve_rows,
    gain,
    gains,
    held_out,
    held_out_cells,
    interval,
    shares,
)

RECIPES = {"pushed": ROOT / "examples" / "editor" / "nano.yaml", "two-seeds": RESULTS / "two-seeds" / "recipe.yaml"}


def test_the_page_has_what_the_shipped_editor_gains() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert f"| shipped as `nano-grpo` | {held_out_cells('nano-grpo')} |" in text
    assert gains(held_out("nano-grpo")["gains"]) in text


def test_the_page_has_both_seeds_curves() -> None:
    text = PAGE.read_text(encoding="utf-8")
    folders = [RESULTS / "pushed" / f"pushed-{seed}" for seed in (0, 1)]
    steps = load_editor_recipe(RECIPES["pushed"]).steps
    assert [read_run(folder).evaluations[-1].step for folder in folders] == [steps, steps]
    for row in curve_rows(folders):
        assert row in text


def test_the_recipes_differ_in_how_far_an_edit_may_push() -> None:
    pushed, before = (load_editor_recipe(RECIPES[name]).model_dump() for name in ("pushed", "two-seeds"))
    differing = {name: (before[name], value) for name, value in pushed.items() if value != before[name]}
    assert differing == {"max_advantage": (5.0, 2.0), "ema": (0.8, 0.5), "steps": (120, 60)}


def test_make_editor_does_what_was_measured() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "for seed in 0 1; do" in makefile
    editors = " ".join(f"--editor build/editor/seed-{seed}/editor" for seed in (0, 1))
    assert f"merge {editors} --out build/editor/both" in makefile
    assert load_editor_card(editor_path("nano-grpo")).steps == 2 * load_editor_recipe(RECIPES["pushed"]).steps


def test_the_page_has_what_pushing_further_is_worth() -> None:
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    editors = json.loads((RESULTS / "pushed" / "validation.json").read_text())["editors"]
    assert {(one["split"], one["edits"]) for one in editors.values()} == {("validation", 200)}
    cells = {name: shares({key: one[key]["value"] for key in MEASURES}).split(" | ") for name, one in editors.items()}
    success = {name: one[0] for name, one in cells.items()}
    assert f"{success['seed 0, 1.0']} succeed where it is, and {success['seed 0, 1.8']} 1.8 times as far" in text
    both, done, kept = cells["mean, 1.0"]
    apart = f"{success['seed 0, 1.0']} and {success['seed 1, 1.0']} succeed of each"
    assert f"{apart}, and {both} of the mean of both ({done} done, {kept} kept)" in text
    assert f"{success['four, 1.0']} of the validation edits, and {success['four, 1.4']} 1.4 times as far" in text
    assert success["seed 0, damped"] == success["seed 1, damped"]
    assert f"{success['seed 0, damped']} of either seed's edits succeed" in text
    (here,), (there,) = (
        [one.evaluation["success"] for one in read_run(RESULTS / "pushed" / name).evaluations if one.step == 20]
        for name in ("epsilon-0", "pushed-0")
    )
    assert f"has {here:.1%} after 20 steps, where the run above has {there:.1%}" in text


def test_the_page_has_what_each_seed_gains_when_pushed() -> None:
    text = PAGE.read_text(encoding="utf-8")
    found = json.loads((RESULTS / "pushed" / "held-out.json").read_text())
    for name, one in found["editors"].items():
        assert (one["split"], one["edits"]) == ("held-out", 500)
        cells = f"{interval(one['success'])} | {one['done']['value']:.1%} | {one['kept']['value']:.1%}"
        assert f"| {name} alone | {cells} |" in text
    assert f"| gained, mean of each alone | {gains(found['gains'])} |" in text
    assert found["gains"]["success"]["value"] >= 0.15
    assert found["gains"]["success"]["low"] > 0.10


def test_the_page_has_the_first_rewards_of_both_recipes() -> None:
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    means = [
        sum(one["reward"] for one in rewards(name)[:8]) / 8
        for seed in (0, 1)
        for name in (f"pushed/pushed-{seed}", f"two-seeds/product-{seed}")
    ]
    told = "{:.3f} in the place of {:.3f} (seed 0) and {:.3f} in the place of {:.3f} (seed 1)".format(*means)
    assert told in text


def rewards(name: str) -> list[dict[str, Any]]:
    lines = (RESULTS / name / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [one for one in map(json.loads, lines) if "reward" in one]


@pytest.mark.parametrize("seed", [0, 1])
def test_make_editor_has_been_run_and_came_to_the_same(seed: int) -> None:
    """Every number of every step, but for the seconds."""
    folders = (RESULTS / "make-editor" / f"seed-{seed}", RESULTS / "pushed" / f"pushed-{seed}")
    again, before = ([without_seconds(entry) for entry in entries(folder)] for folder in folders)
    assert again == before
    assert len(again) == 60 + 4


def test_the_page_has_the_seconds_of_make_editor_and_what_it_left() -> None:
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    steps = [one for one in entries(RESULTS / "make-editor" / "seed-1") if "reward" in one][-48:]
    sampling, scoring, updating, hidden = (
        median(one[name] for one in steps) for name in ("sampling_s", "scoring_s", "updating_s", "hidden")
    )
    assert f"sampling {sampling:.1f} s, scoring {scoring:.1f} s, of which {hidden:.0%} was hidden" in text
    assert f"and updating {updating:.1f} s; medians of its last 48 steps" in text
    assert min(one["hidden"] for one in steps) > 0.9
    report = held_out("make-editor/both")
    (left,) = report["editors"].values()
    success, done, kept = (gain(report["gains"][name], " points" if name == "success" else "") for name in MEASURES)
    told = f"{left['success']['value']:.1%} of the held-out edits succeed: {success}"
    assert f"{told}, done {done}, kept {kept}" in text


def entries(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def without_seconds(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if not name.endswith("_s") and name != "hidden"}
