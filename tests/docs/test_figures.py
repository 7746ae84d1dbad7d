"""The documents print the figures that the shipped judge's card carries, and the judge is as good as it has to be."""

from __future__ import annotations

from pathlib import Path

from edit_rrm.card import load_card
from edit_rrm_service.settings import SHIPPED_JUDGE
from tests.docs.figures import figures, table
from tests.docs.pair_figures import accuracy

ROOT = Path(__file__).parents[2]


def test_the_page_of_nano_prints_what_was_measured() -> None:
    text = (ROOT / "docs" / "nano.md").read_text(encoding="utf-8")
    assert table() in text
    assert "@@" not in text
    for found in figures().values():
        assert found["command"] in text


def test_the_readme_says_what_was_measured() -> None:
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    true = figures()["held-out"]["think"]["accuracy"]["value"]
    before, after = (accuracy(judge, "held-out")["value"] for judge in ("nano-sft", "nano-gcpo-0"))
    assert f"{true:.1%} of its verdicts on held-out pictures are true" in text
    assert f"from ranking {before:.1%} of held-out pairs rightly to {after:.1%}" in text


def test_the_number_of_parameters_is_the_judges_own() -> None:
    card = load_card(SHIPPED_JUDGE)
    assert card is not None
    millions = f"{card.training['parameters'] / 1e6:.1f}M parameters"
    for document in ("README.md", "docs/nano.md", "docs/getting-started.md"):
        assert millions in (ROOT / document).read_text(encoding="utf-8")


def test_the_shipped_judge_is_good_enough_to_ship() -> None:
    """The bars it was built to, on 2,000 samples of each split."""
    found = figures()
    assert {split: one["samples"] for split, one in found.items()} == dict.fromkeys(found, 2_000)
    assert all(one[mode]["accuracy"]["value"] >= 0.85 for one in found.values() for mode in ("think", "probe"))
    seeds = found["held-out"]
    assert min(seeds[mode]["accuracy"]["value"] for mode in ("think", "probe")) >= 0.95
    assert seeds["think"]["scored"]["value"] >= 0.995
    assert seeds["decompose"]["exact"]["value"] >= 0.97
