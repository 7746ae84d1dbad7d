"""The shipped judge is what the shipped recipes make."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from edit_rrm.card import load_card
from edit_rrm_service.settings import SHIPPED_JUDGE
from edit_rrm_training.judge.recipes import load_recipe
from edit_rrm_training.judge.sft import SftRecipe

STAGES: tuple[tuple[str, Any], ...] = (("nano-polish", SftRecipe), ("nano", SftRecipe))
"""The recipes and their kinds, the last one first: a judge's card tells the way it came."""


def test_the_card_tells_the_whole_way_and_it_is_that_of_the_recipes() -> None:
    card = load_card(SHIPPED_JUDGE)
    assert card is not None
    told: Any = card.training
    for name, kind in STAGES:
        recipe = asdict(load_recipe(name, kind))
        chosen = {field: value for field, value in recipe.items() if field != "init_from"}
        # A field that is newer than the judge had then what is its default now.
        used = {**asdict(kind()), **told["recipe"]}
        assert {field: used[field] for field in chosen} == chosen, name
        told = told.get("goes_on_from")
    assert told is None, "the first stage starts from nothing"
