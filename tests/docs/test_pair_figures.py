"""What the documents say GCPO gained is what was measured, and it is what was asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.docs.pair_figures import (
    JUDGES,
    MISPLACED,
    MISPLACED_JUDGES,
    PAIRS,
    RESULTS,
    SIZES,
    SPLITS,
    STAGES,
    VERIFIER,
    accuracy,
    report,
    sizes_table,
    table,
    verifier_table,
)

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("document", ["README.md", "docs/training.md"])
def test_a_document_prints_what_was_measured(document: str) -> None:
    assert table() in (ROOT / document).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "printed",
    [sizes_table(), verifier_table(), table(MISPLACED_JUDGES, MISPLACED)],
    ids=["sizes", "verifier", "before"],
)
def test_training_md_prints_what_else_was_measured(printed: str) -> None:
    assert printed in (ROOT / "docs" / "training.md").read_text(encoding="utf-8")


def test_a_larger_judge_gains_more_from_the_same_preferences() -> None:
    before, after = ({size: accuracy(f"{size}-{stage}", "held-out", MISPLACED) for size in SIZES} for stage in STAGES)
    gains = [after[size]["value"] - before[size]["value"] for size in SIZES]
    assert gains == sorted(gains)
    assert after["micro"]["low"] > after["pico"]["high"]
    # And what training.md has to say beside it: SFT tells them apart by nothing.
    assert max(share["low"] for share in before.values()) < min(share["high"] for share in before.values())


FIGURES = [
    *((RESULTS, judge, split) for judge in JUDGES for split in SPLITS),
    *((RESULTS, judge, "held-out") for judges in VERIFIER.values() for judge in judges),
    *((MISPLACED, judge, split) for judge in MISPLACED_JUDGES for split in SPLITS),
    *((MISPLACED, f"{size}-{stage}", "held-out") for size in SIZES for stage in STAGES),
]


@pytest.mark.parametrize(("folder", "judge", "split"), FIGURES)
def test_every_figure_is_of_the_same_pairs_in_the_same_way(folder: Path, judge: str, split: str) -> None:
    found, first = report(judge, split, folder), report("nano-sft", split)
    assert (found["data"], found["n"], found["pairs"]["pairs"]) == (f"shapes:{split}", PAIRS, PAIRS)
    assert (found["mode"], found["samples"], found["ties"], found["principles"]) == ("think", 1, "wrong", "decomposed")
    assert found["data_fingerprint"] == first["data_fingerprint"]
    assert (
        found["pairs"]["right"] + found["pairs"]["wrong"] + found["pairs"]["tied"] + found["pairs"]["unscored"] == PAIRS
    )


def test_every_judge_is_another() -> None:
    judges = {(folder, judge) for folder, judge, _ in FIGURES}
    assert len({report(judge, "held-out", folder)["identity"] for folder, judge in judges}) == len(judges)


@pytest.mark.parametrize("split", SPLITS)
def test_gcpo_gains_five_points_and_the_intervals_are_apart(split: str) -> None:
    before, after = accuracy("nano-sft", split), accuracy("nano-gcpo-0", split)
    assert after["value"] - before["value"] >= 0.05
    assert after["low"] > before["high"]


def test_a_better_ranker_is_still_a_truthful_verifier() -> None:
    folder = ROOT / "docs" / "results" / "verdicts"
    before, after = (json.loads((folder / f"{name}.held-out.json").read_text()) for name in ("nano-sft", "nano-gcpo-0"))
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    for mode in ("think", "probe"):
        shares = [found[mode]["accuracy"]["value"] for found in (before, after)]
        assert shares[1] > shares[0] - 0.01
        assert all(f"{share:.1%}" in text for share in shares)
