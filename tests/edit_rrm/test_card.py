"""The judge card travels whole, and a bad one says what to change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edit_rrm.card import CARD_FILE, CardError, ImageBudget, JudgeCard, ProbeLabels, load_card, save_card


def test_a_card_survives_the_round_trip(tmp_path: Path) -> None:
    card = JudgeCard(
        name="judge", prompts="nano", labels=ProbeLabels(yes=("ja",), no=("nein",)), metrics={"accuracy": 0.95}
    )
    assert save_card(card, tmp_path).name == CARD_FILE
    assert load_card(tmp_path) == card


def test_a_checkpoint_may_have_none(tmp_path: Path) -> None:
    assert load_card(tmp_path) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file"),
        ("{", "the file"),
        ("[]", "the file"),
        ('{"schema_version": 2}', "schema_version"),
        ('{"promts": "nano"}', "promts"),
        ('{"label_mass_floor": 2}', "label_mass_floor"),
        ('{"labels": {"yes": [], "no": ["no"]}}', "labels.yes"),
        ('{"labels": {"yes": ["y"], "no": ["y"]}}', "listed once"),
        ('{"image": {"min_pixels": 10, "max_pixels": 5}}', "must not exceed"),
    ],
)
def test_a_bad_card_names_the_file_and_the_field(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / CARD_FILE).write_text(content, encoding="utf-8")
    with pytest.raises(CardError) as caught:
        load_card(tmp_path)
    assert str(tmp_path / CARD_FILE) in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_file_is_json_that_people_can_read(tmp_path: Path) -> None:
    text = save_card(JudgeCard(summary="knows “shapes”"), tmp_path).read_text(encoding="utf-8")
    assert "“shapes”" in text
    assert json.loads(text)["schema_version"] == 1


def test_budgets_hold_their_bounds() -> None:
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        ImageBudget(min_pixels=0)
