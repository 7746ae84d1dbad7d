"""The documents print the figures that the shipped judge's card carries, and the judge is as good as it has to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from edit_rrm.card import load_card
from edit_rrm_service.settings import SHIPPED_JUDGE
from tests.docs.figures import figures, table

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("document", ["README.md", "docs/nano.md"])
def test_a_document_prints_what_was_measured(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    assert table() in text
    assert "@@" not in text
    for found in figures().values():
        assert found["command"] in text


def test_the_number_of_parameters_is_the_judges_own() -> None:
    card = load_card(SHIPPED_JUDGE)
    assert card is not None
    millions = f"{card.training['parameters'] / 1e6:.1f}M parameters"
    for document in ("README.md", "docs/nano.md"):
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
