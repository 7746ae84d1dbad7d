"""Scenes in words, for training judges to see before they compare."""

from __future__ import annotations

from edit_rrm_training.shapes.oracle import shown_colour, shown_size
from edit_rrm_training.shapes.scene import Background, Scene, Thing
from edit_rrm_training.shapes.vocabulary import PLACES


def describe(scene: Scene) -> str:
    """All objects in reading order, the background, and what lies over the whole image."""
    order = list(PLACES)
    things = sorted(scene.things, key=lambda thing: (order.index(thing.place), thing.uid))
    pieces = [_thing(thing) for thing in things]
    half = scene.half_background
    pieces.append(_background(scene.background) + (f", half {_background(half)}" if half else ""))
    if scene.tone is not None:
        pieces.append(f"half {scene.tone}" if scene.tone_half else scene.tone)
    if scene.shift is not None:
        pieces.append(f"image {scene.shift}")
    if scene.artefact is not None:
        pieces.append(scene.artefact)
    return "; ".join(pieces)


def _thing(thing: Thing) -> str:
    faded = "faded " if thing.alpha < 1.0 else ""
    return f"{thing.place}: {faded}{shown_size(thing)} {shown_colour(thing)} {thing.shape}"


def _background(background: Background) -> str:
    return "photo" if background.kind == "photo" else background.name
