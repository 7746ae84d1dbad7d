"""What the documents say GCPO gained is what was measured, and it is what was asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.docs.pair_figures import (
    ABLATION,
    JUDGES,
    MISPLACED,
    MISPLACED_JUDGES,
    MODES,
    PAIRS,
    RESULTS,
    SIZES,
    SPLITS,
    STAGES,
    VERIFIER,
    ablation_table,
    accuracy,
    paper_table,
    report,
    sizes_table,
    table,
    verifier_table,
)

ROOT = Path(__file__).parents[2]


def test_the_page_of_training_prints_what_was_measured() -> None:
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    assert table() in text
    assert ablation_table() in text
    assert paper_table() in text


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


@pytest.mark.parametrize("judge", ABLATION.values())
@pytest.mark.parametrize("split", MODES.values())
def test_the_ablation_is_of_one_judge_in_three_ways(judge: str, split: str) -> None:
    found, first = report(judge, split), report(judge, "held-out")
    asked = {"held-out": ("think", 1), "held-out.avg4": ("think", 4), "held-out.probe": ("probe", 1)}[split]
    assert (found["mode"], found["samples"], found["pairs"]["pairs"]) == (*asked, PAIRS)
    for same in ("identity", "data", "data_fingerprint", "ties", "principles"):
        assert found[same] == first[same]


def test_every_judge_is_another() -> None:
    judges = {(folder, judge) for folder, judge, _ in FIGURES}
    assert len({report(judge, "held-out", folder)["identity"] for folder, judge in judges}) == len(judges)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize(
    ("folder", "judges"), [(RESULTS, JUDGES), (MISPLACED, MISPLACED_JUDGES)], ids=["now", "before"]
)
def test_gcpo_gains_five_points_over_its_seeds_and_every_interval_is_apart(
    folder: Path, judges: dict[str, str], split: str
) -> None:
    before, *after = (accuracy(judge, split, folder) for judge in judges)
    assert sum(seed["value"] for seed in after) / len(after) - before["value"] >= 0.05
    assert all(seed["low"] > before["high"] for seed in after)


def test_training_md_says_what_gcpo_gains_over_its_seeds() -> None:
    gains = []
    for split in SPLITS:
        before, *after = (accuracy(judge, split)["value"] for judge in JUDGES)
        gains.append(100 * (sum(after) / len(after) - before))
    told = f"GCPO gains {gains[0]:.1f} and {gains[1]:.1f} points over the two seeds"
    assert told in " ".join((ROOT / "docs" / "training.md").read_text(encoding="utf-8").split())


def test_training_md_says_what_verifier_and_gcpo_are_worth() -> None:
    (raw, raw_tuned), (verified, tuned) = (
        [accuracy(judge, "held-out")["value"] for judge in each] for each in VERIFIER.values()
    )
    told = (
        f"The verifier is worth {100 * (verified - raw):.1f} points after SFT and {100 * (tuned - raw_tuned):.1f} "
        f"after GCPO, which itself gains {100 * (raw_tuned - raw):.1f} without it and {100 * (tuned - verified):.1f} "
        "with it."
    )
    assert told in " ".join((ROOT / "docs" / "training.md").read_text(encoding="utf-8").split())


def test_training_md_says_how_the_tuned_judge_ranks_when_it_is_probed() -> None:
    found = report("nano-gcpo-0", "held-out.probe")
    assert (found["mode"], found["n"], found["pairs"]["tied"]) == ("probe", PAIRS, 0)
    share = found["pairs"]["accuracy"]
    interval = f"{share['low']:.1%} to {share['high']:.1%}"
    told = f"{share['value']:.1%} ({interval}) of the same pairs rightly with no equal scores"
    assert told in " ".join((ROOT / "docs" / "training.md").read_text(encoding="utf-8").split())
    assert found["identity"] == report("nano-gcpo-0", "held-out")["identity"]


def test_a_better_ranker_is_still_a_truthful_verifier() -> None:
    folder = ROOT / "docs" / "results" / "verdicts"
    before, after = (json.loads((folder / f"{name}.held-out.json").read_text()) for name in ("nano-sft", "nano-gcpo-0"))
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    for mode in ("think", "probe"):
        shares = [found[mode]["accuracy"]["value"] for found in (before, after)]
        assert shares[1] > shares[0] - 0.01
        assert all(f"{share:.1%}" in text for share in shares)
