"""What the documents say GCPO gained is what was measured, and it is what was asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.docs.pair_figures import JUDGES, PAIRS, SPLITS, accuracy, report, table

ROOT = Path(__file__).parents[2]
TUNED = [judge for judge in JUDGES if "gcpo" in judge]


@pytest.mark.parametrize("document", ["README.md", "docs/training.md"])
def test_a_document_prints_what_was_measured(document: str) -> None:
    assert table() in (ROOT / document).read_text(encoding="utf-8")


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("judge", JUDGES)
def test_every_figure_is_of_the_same_pairs_in_the_same_way(judge: str, split: str) -> None:
    found, first = report(judge, split), report("nano-sft", split)
    assert (found["data"], found["n"], found["pairs"]["pairs"]) == (f"shapes:{split}", PAIRS, PAIRS)
    assert (found["mode"], found["samples"], found["ties"], found["principles"]) == ("think", 1, "wrong", "decomposed")
    assert found["data_fingerprint"] == first["data_fingerprint"]
    assert (
        found["pairs"]["right"] + found["pairs"]["wrong"] + found["pairs"]["tied"] + found["pairs"]["unscored"] == PAIRS
    )


def test_every_judge_is_another() -> None:
    assert len({report(judge, "held-out")["identity"] for judge in JUDGES}) == len(JUDGES)


@pytest.mark.parametrize("split", SPLITS)
def test_gcpo_gains_five_points_over_its_seeds_and_every_interval_is_apart(split: str) -> None:
    before, after = accuracy("nano-sft", split), [accuracy(judge, split) for judge in TUNED]
    assert sum(seed["value"] for seed in after) / len(after) - before["value"] >= 0.05
    assert all(seed["low"] > before["high"] for seed in after)


def test_a_better_ranker_is_still_a_truthful_verifier() -> None:
    folder = ROOT / "docs" / "results" / "verdicts"
    before, after = (json.loads((folder / f"{name}.held-out.json").read_text()) for name in ("nano-sft", "nano-gcpo-0"))
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    for mode in ("think", "probe"):
        shares = [found[mode]["accuracy"]["value"] for found in (before, after)]
        assert shares[1] > shares[0] - 0.01
        assert all(f"{share:.1%}" in text for share in shares)
