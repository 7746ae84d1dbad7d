"""Phrasings: how people ask for an edit. The last two of every kind are never trained on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import numpy as np

from edit_rrm_training.shapes.edits import Edit
from edit_rrm_training.shapes.vocabulary import NUMBERS, plural

HELD_OUT: Final = 2
"""How many phrasings of each kind, counted from the end, the held-out-phrasings split keeps for itself."""

PHRASINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "recolour": (
        "make the {name} {colour}",
        "turn the {name} {colour}",
        "change the color of the {name} to {colour}",
        "paint the {name} {colour}",
        "the {name} should be {colour}",
        "color the {name} at the {at} {colour}",
        "give the {name} a {colour} color",
        "I want the {name} to become {colour}",
    ),
    "replace": (
        "replace the {name} with a {shape}",
        "turn the {name} into a {shape}",
        "swap the {name} for a {shape}",
        "change the {name} to a {shape}",
        "make the {name} at the {at} a {shape}",
        "put a {shape} in place of the {name}",
        "the {name} should become a {shape}",
        "exchange the {name} for a {shape}",
    ),
    "add": (
        "add a {size} {name} at the {place}",
        "put a {size} {name} at the {place}",
        "place a {name} at the {place}",
        "draw a {size} {name} at the {place}",
        "add a {name} to the {place} of the image",
        "there should be a {size} {name} at the {place}",
        "insert a {size} {name} at the {place}",
        "at the {place}, add a {name}",
    ),
    "remove": (
        "remove the {name}",
        "delete the {name}",
        "erase the {name} at the {at}",
        "take away the {name}",
        "get rid of the {name}",
        "take the {name} out of the image",
        "the {name} should be gone",
        "make the {name} go away",
    ),
    "move": (
        "move the {name} to the {place}",
        "put the {name} at the {place}",
        "shift the {name} to the {place}",
        "bring the {name} from the {at} to the {place}",
        "the {name} should be at the {place}",
        "drag the {name} to the {place}",
        "place the {name} at the {place} instead",
        "take the {name} to the {place}",
    ),
    "resize": (
        "make the {name} {bigger}",
        "make the {name} {size}",
        "change the {name} to a {size} one",
        "the {name} should be {size}",
        "make the {name} at the {at} {bigger}",
        "{grow} the {name}",
        "turn the {name} into a {size} one",
        "I want the {name} to become {bigger}",
    ),
    "background": (
        "change the background to {background}",
        "make the background {background}",
        "replace the background with {background}",
        "put the objects on a {background} background",
        "the background should be {background}",
        "set the background to {background}",
        "give the image a {background} background",
        "turn the background into {background}",
    ),
    "count": (
        "make it {number} {names}",
        "there should be {number} {names}",
        "change the number of {plural} that are {own} to {number}",
        "I want {number} {names}",
        "show {number} {names}",
        "make the {names} {number} in all",
        "the image should show {number} {names}",
        "have {number} {names} in all",
    ),
    "tone": (
        "make the image {tone}",
        "make the whole image {tone}",
        "change the light to {tone}",
        "turn the image {tone}",
        "the image should be {tone}",
        "give the image a {tone} tone",
        "I want the image to be {tone}",
        "make it all {tone}",
    ),
}
"""Templates by kind; a compound joins two."""

_JOINS: Final = ("{one} and {two}", "{one}, then {two}", "{one} and also {two}", "first {one}, then {two}")
_HELD_OUT_JOIN: Final = "{one}; {two}"
_A_BEFORE_A_VOWEL: Final = re.compile(r"\ba (?=[aeiou])")


def phrase(rng: np.random.Generator, edit: Edit, *, held_out: bool = False) -> str:
    """Put an edit into words, with a phrasing of the training or of the held-out set."""
    if edit.parts:
        one, two = (phrase(rng, part, held_out=held_out) for part in edit.parts)
        join = _HELD_OUT_JOIN if held_out else _JOINS[int(rng.integers(len(_JOINS)))]
        return join.format(one=one, two=two)
    phrasings = PHRASINGS[edit.kind]
    options = phrasings[-HELD_OUT:] if held_out else phrasings[:-HELD_OUT]
    worded = options[int(rng.integers(len(options)))].format(**_words(edit))
    return _A_BEFORE_A_VOWEL.sub("an ", worded)


def _words(edit: Edit) -> dict[str, str]:
    words = {"colour": edit.colour, "shape": edit.shape, "place": edit.place, "tone": edit.tone}
    if edit.thing is not None:
        thing = edit.thing
        size = edit.size or thing.size
        words |= {
            "name": thing.name,
            "names": thing.name if edit.number == 1 else f"{thing.colour} {plural(thing.shape)}",
            "plural": plural(thing.shape),
            "own": thing.colour,
            "at": thing.place,
            "size": size,
            "bigger": "bigger" if size == "big" else "smaller",
            "grow": "enlarge" if size == "big" else "shrink",
            "number": NUMBERS.get(edit.number, ""),
        }
    if edit.background is not None:
        words["background"] = edit.background.name
    return words
