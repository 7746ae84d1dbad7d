"""The shipped judge is what the shipped recipes make."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from edit_rrm.card import load_card
from edit_rrm_service.settings import SHIPPED_JUDGE
from edit_rrm_training.judge.gcpo_recipe import GcpoRecipe
from edit_rrm_training.judge.recipes import load_recipe
from edit_rrm_training.judge.sft import SftRecipe
from edit_rrm_training.judge.vlm_sft_recipe import VlmSftRecipe

STAGES: tuple[tuple[str, Any], ...] = (
    ("nano-gcpo", GcpoRecipe),
    ("nano-sft", VlmSftRecipe),
    ("nano-polish", SftRecipe),
    ("nano", SftRecipe),
)
"""The recipes and their kinds, the last one first: a judge's card tells the way it came."""


def as_json(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe as a card has it: with lists for tuples."""
    found: dict[str, Any] = json.loads(json.dumps(recipe))
    return found


def test_the_card_tells_the_whole_way_and_it_is_that_of_the_recipes() -> None:
    card = load_card(SHIPPED_JUDGE)
    assert card is not None
    told: Any = card.training
    for name, kind in STAGES:
        recipe = asdict(load_recipe(name, kind))
        chosen = as_json({field: value for field, value in recipe.items() if field != "init_from"})
        # A field that is newer than the judge had then what is its default now.
        used = {**as_json(asdict(kind())), **told["recipe"]}
        assert {field: used[field] for field in chosen} == chosen, name
        told = told.get("goes_on_from")
    assert told is None, "the first stage starts from nothing"
