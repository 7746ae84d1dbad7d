"""What docs/nano-editor.md says of every way that was tried is what was measured."""

from __future__ import annotations

import json

import pytest

from edit_rrm_training.editor.curves import read_run
from tests.training.editor.page import (
    MEASURES,
    RESULTS,
    STORY,
    curve_rows,
    gain,
    gains,
    held_out,
    held_out_cells,
    interval,
    shares,
)


@pytest.mark.parametrize(
    ("report", "row"), [("grpo-50", "after 50 steps"), ("two-seeds/mean", "mean of both, 1.5 times as far")]
)
def test_the_page_has_what_was_measured(report: str, row: str) -> None:
    text = STORY.read_text(encoding="utf-8")
    assert f"| {row} | {held_out_cells(report)} |" in text
    assert gains(held_out(report)["gains"]) in text


def test_the_page_has_two_seeds_curves() -> None:
    text = STORY.read_text(encoding="utf-8")
    for row in curve_rows([RESULTS / "two-seeds" / f"product-{seed}" for seed in (0, 1)]):
        assert row in text


def test_the_page_has_what_ninety_steps_gain() -> None:
    text = " ".join(STORY.read_text(encoding="utf-8").split())
    found = held_out("nft-90")
    gained = found["gains"]
    success = found["editors"]["90 steps"]["success"]["value"]
    assert f"success {success:.1%}, {gain(gained['success'], ' points')}" in text
    assert f"done {gain(gained['done'])}, kept {gain(gained['kept'])}" in text


def test_the_page_has_the_examples_curve_and_where_the_signal_is() -> None:
    text = STORY.read_text(encoding="utf-8")
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


def test_the_page_has_what_two_seeds_gain() -> None:
    """As they were trained and as `edit-rrm merge --scale` makes them."""
    text = STORY.read_text(encoding="utf-8")
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
    text = " ".join(STORY.read_text(encoding="utf-8").split())
    editors = json.loads((RESULTS / "two-seeds" / "validation.json").read_text())["editors"]
    assert {(one["split"], one["edits"]) for one in editors.values()} == {("validation", 200)}
    cells = {name: shares({key: one[key]["value"] for key in MEASURES}) for name, one in editors.items()}
    for scale in (1.0, 1.4, 1.8):
        assert f"| {scale:g} | {cells[f'seed 0, {scale}']} | {cells[f'seed 1, {scale}']} |" in text
    (success, done, kept), (further, *rest) = (cells[f"mean, {scale}"].split(" | ") for scale in (1.0, 1.5))
    told = f"{success} succeed there ({done} done, {kept} kept), and {further} 1.5 times as far ({', '.join(rest)})"
    assert told in text


def test_the_page_has_how_each_aggregation_tracks_the_oracle() -> None:
    text = STORY.read_text(encoding="utf-8")
    found = json.loads((RESULTS / "aggregations.json").read_text())
    assert (found["sampler"], found["size"]) == ("match", 12)
    assert f"({found['prompts']} training prompts of nano-editor, 12 edits" in text
    for name, one in found["modes"]["probe"]["aggregations"].items():
        correlations = [f"{one['correlation'][measure]:.2f}" for measure in MEASURES]
        assert f"| `{name}` | {one['agreement']['success']['share']:.0%} | {' | '.join(correlations)} |" in text
