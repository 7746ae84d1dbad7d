"""nano-editor as it is shipped: it half works, is small, and goes by its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edit_rrm_training.editor.curves import read_run
from edit_rrm_training.editor.edit import load_editor
from edit_rrm_training.editor.editor_card import load_editor_card
from edit_rrm_training.editor.evaluation import evaluate_editor
from edit_rrm_training.editor.nano.pretrain import policy_recipe
from edit_rrm_training.editor.recipe import load_editor_recipe
from edit_rrm_training.editor.shipped import SHIPPED, editor_path
from tests.training.editor.page import MEASURES, PAGE, RESULTS, ROOT, gain, gains, interval, shares


@pytest.mark.parametrize("name", SHIPPED)
def test_it_is_small_and_says_how_it_is_asked(name: str) -> None:
    folder = editor_path(name)
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 16 * 2**20
    assert load_editor_card(folder).policy == policy_recipe(name)


def test_training_has_changed_the_transformer_alone() -> None:
    before, after = editor_path("nano"), editor_path("nano-grpo")
    files = {path.relative_to(before) for path in before.rglob("*") if path.is_file()}
    assert files == {path.relative_to(after) for path in after.rglob("*") if path.is_file()}
    differing = {str(file) for file in files if (before / file).read_bytes() != (after / file).read_bytes()}
    assert differing == {"edit_rrm_editor.json", "transformer/diffusion_pytorch_model.safetensors"}


def held_out(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / f"{name}-held-out.json").read_text())
    (report,) = found["editors"].values()
    assert (report["split"], report["edits"]) == ("held-out", 500)
    return found


@pytest.mark.parametrize(
    ("report", "row"),
    [
        ("grpo-50", "after 50 steps"),
        ("two-seeds/mean", "mean of both, 1.5 times as far"),
        ("nano-grpo", "shipped as `nano-grpo`"),
    ],
)
def test_the_page_has_what_was_measured(report: str, row: str) -> None:
    """The reports of 500 held-out edits, which take minutes to make again."""
    text = PAGE.read_text(encoding="utf-8")
    found = held_out(report)
    (editor,) = found["editors"].values()
    cells = [interval(editor["success"]), *(f"{editor[name]['value']:.1%}" for name in ("done", "kept"))]
    assert f"| {row} | {' | '.join(cells)} |" in text
    assert gains(found["gains"]) in text


def test_the_page_has_what_ninety_steps_gain() -> None:
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    found = held_out("nft-90")
    gained = found["gains"]
    success = found["editors"]["90 steps"]["success"]["value"]
    assert f"success {success:.1%}, {gain(gained['success'], ' points')}" in text
    assert f"done {gain(gained['done'])}, kept {gain(gained['kept'])}" in text


def test_the_page_has_the_examples_curve_and_where_the_signal_is() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for found in read_run(RESULTS / "nft-90").evaluations + read_run(RESULTS / "product").evaluations:
        measured = found.evaluation
        assert f"| {found.step} | {measured['judge']:.3f} | {shares(measured)} |" in text
    (slower,) = (one.evaluation for one in read_run(RESULTS / "product-1e-4").evaluations if one.step == 20)
    told = f"{slower['success']:.1%}, done {slower['done']:.1%} and kept {slower['kept']:.1%}"
    assert f"20 steps go to {told}" in " ".join(text.split())
    agreements = json.loads((RESULTS / "gradient-agreement.json").read_text())["agreements"]
    names = ("norm", "other_noise", "other_prompts")
    for own, one in zip(agreements[::2], agreements[1::2], strict=True):
        assert (own["time"], own["shared_noise"], one["shared_noise"]) == (one["time"], False, True)
        cells = [f"{found[name]:.2f}" for found in (own, one) for name in names]
        assert f"| {own['time']} | {' | '.join(cells)} |" in text


RECIPES = {"pushed": ROOT / "examples" / "editor" / "nano.yaml", "two-seeds": RESULTS / "two-seeds" / "recipe.yaml"}


@pytest.mark.parametrize(("kind", "folder"), [("product", "two-seeds"), ("pushed", "pushed")])
def test_the_page_has_two_seeds_curves(kind: str, folder: str) -> None:
    text = PAGE.read_text(encoding="utf-8")
    curves = [read_run(RESULTS / folder / f"{kind}-{seed}").evaluations for seed in (0, 1)]
    assert [one[-1].step for one in curves] == [load_editor_recipe(RECIPES[folder]).steps] * 2
    for both in zip(*curves, strict=True):
        cells = [f"{one.evaluation['judge']:.3f} | {shares(one.evaluation)}" for one in both]
        assert f"| {both[0].step} | {' | '.join(cells)} |" in text


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


def test_the_page_has_what_two_seeds_gain() -> None:
    """As they were trained and as `edit-rrm merge --scale` makes them."""
    text = PAGE.read_text(encoding="utf-8")
    results = RESULTS / "two-seeds"
    report = json.loads((results / "report.json").read_text())
    assert {(one["split"], one["edits"]) for one in report["editors"].values()} == {("held-out", 500)}
    for kind, told in (("product", ""), ("product-further", f", {report['scale']} times as far")):
        for seed in (0, 1):
            one = report["editors"][f"{kind}-{seed}"]
            row = f"| seed {seed}{told} | {interval(one['success'])} | {one['done']['value']:.1%} |"
            assert f"{row} {one['kept']['value']:.1%} |" in text
        assert f"| gained{told}, mean of both | {gains(report['kinds'][kind])} |" in text


def test_the_page_has_how_far_on_was_chosen() -> None:
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    editors = json.loads((RESULTS / "two-seeds" / "validation.json").read_text())["editors"]
    assert {(one["split"], one["edits"]) for one in editors.values()} == {("validation", 200)}
    cells = {name: shares({key: one[key]["value"] for key in MEASURES}) for name, one in editors.items()}
    for scale in (1.0, 1.4, 1.8):
        assert f"| {scale:g} | {cells[f'seed 0, {scale}']} | {cells[f'seed 1, {scale}']} |" in text
    (success, done, kept), (further, *rest) = (cells[f"mean, {scale}"].split(" | ") for scale in (1.0, 1.5))
    told = f"{success} succeed there ({done} done, {kept} kept), and {further} 1.5 times as far ({', '.join(rest)})"
    assert told in text


def test_the_page_has_how_each_aggregation_tracks_the_oracle() -> None:
    text = PAGE.read_text(encoding="utf-8")
    found = json.loads((RESULTS / "aggregations.json").read_text())
    assert (found["sampler"], found["size"]) == ("match", 12)
    assert f"({found['prompts']} training prompts of nano-editor, 12 edits" in text
    for name, one in found["modes"]["probe"]["aggregations"].items():
        correlations = [f"{one['correlation'][measure]:.2f}" for measure in MEASURES]
        assert f"| `{name}` | {one['agreement']['success']['share']:.0%} | {' | '.join(correlations)} |" in text


@pytest.mark.slow
def test_it_half_works() -> None:
    report = evaluate_editor(load_editor("nano"), "validation", 60, steps=12)
    success = report.shares()["success"].value
    assert success is not None
    assert 0.2 < success < 0.8, "there has to be something to gain, and something to choose from"


def test_a_folder_of_its_name_goes_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = editor_path("nano")
    monkeypatch.chdir(tmp_path)
    assert editor_path("nano") == shipped
    (tmp_path / "nano").mkdir()
    assert editor_path("nano") == Path("nano")
