"""Faults: how an edited image falls short, mirroring what real editing models do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from edit_rrm_training.shapes.edits import Edit, apply, changed
from edit_rrm_training.shapes.scene import Background, Scene, Thing, choose, put, random_background
from edit_rrm_training.shapes.vocabulary import CANVAS, COLOURS, HALFWAY_RADIUS, RADII, SHAPES, TONES

MAIN_FAULTS = ("none", "nothing", "wrong_attribute", "wrong_object", "half_done", "displaced", "duplicated")
_MAIN_WEIGHTS = (0.34, 0.14, 0.14, 0.09, 0.15, 0.07, 0.07)

SIDE_FAULTS = ("collateral", "background", "shift", "blur", "noise", "blocks")
_SIDE_CHANCES = (0.26, 0.09, 0.12, 0.08, 0.08, 0.07)
_UNTOUCHED = 0.55
"""Share of the `nothing` faults that return the source as it is, without side faults either."""

INTRUDER_UID = 100
"""`uid` of an object nobody asked for."""
TWIN_UID = 101
"""`uid` of the second copy an editor made of an edited object."""
STAY_BEHIND_UID = 102
"""`uid` of the copy a move left behind."""

_GHOST_ALPHA = 0.45
_DISPLACEMENT = (10.0, 13.0)


@dataclass(frozen=True, slots=True)
class Edited:
    """What an imperfect editor made of a source, and which faults it committed."""

    scene: Scene
    main: str
    side: tuple[str, ...]


def commit(rng: np.random.Generator, source: Scene, edit: Edit) -> Edited:
    """Carry out an edit with at most one main fault and any side faults, by `_MAIN_WEIGHTS` and `_SIDE_CHANCES`."""
    main = MAIN_FAULTS[int(rng.choice(len(MAIN_FAULTS), p=_MAIN_WEIGHTS))]
    scene = with_main_fault(rng, source, edit, main)
    if scene is None:
        main, scene = "none", apply(source, edit)
    if main == "nothing" and rng.random() < _UNTOUCHED:
        return Edited(scene, main, ())
    side: list[str] = []
    for name, chance in zip(SIDE_FAULTS, _SIDE_CHANCES, strict=True):
        if rng.random() < chance:
            faulty = with_side_fault(rng, scene, source, edit, name)
            if faulty is not None:
                scene, side = faulty, [*side, name]
    return Edited(scene, main, tuple(side))


def with_main_fault(rng: np.random.Generator, source: Scene, edit: Edit, fault: str) -> Scene | None:
    """The edited scene with one main fault, or None where the fault makes no sense for the edit."""
    if fault == "none":
        return apply(source, edit)
    if fault == "nothing":
        return source
    if edit.kind == "compound":
        return _compound(rng, source, edit, fault)
    return _FAULTS[fault](rng, source, edit)


def with_side_fault(rng: np.random.Generator, scene: Scene, source: Scene, edit: Edit, fault: str) -> Scene | None:
    """A scene with one thing spoilt that nobody asked to change, or None where there is nothing to spoil."""
    if fault == "collateral":
        return _collateral(rng, scene, source, edit)
    if fault == "background":
        if edit.kind in ("background", "tone"):
            return None
        return replace(scene, background=_other_background(rng, scene.background))
    if fault == "shift":
        return None if edit.kind == "tone" else replace(scene, shift=choose(rng, TONES[:-1]))
    if scene.artefact is not None:
        return None
    return replace(scene, artefact=fault, noise_seed=int(rng.integers(2**31)))


def _other_background(rng: np.random.Generator, background: Background) -> Background:
    while True:
        other = random_background(rng)
        if other.kind != background.kind or (other.kind != "photo" and other.name != background.name):
            return other


def _others(source: Scene, edit: Edit) -> list[Thing]:
    """Objects of the source that no part of the edit concerns."""
    parts = edit.parts or (edit,)
    concerned = {part.thing.uid for part in parts if part.thing is not None}
    names = {(part.thing.shape, part.thing.colour) for part in parts if part.thing is not None and part.kind == "count"}
    return [thing for thing in source.things if thing.uid not in concerned and (thing.shape, thing.colour) not in names]


def _collateral(rng: np.random.Generator, scene: Scene, source: Scene, edit: Edit) -> Scene | None:
    candidates = [thing for thing in _others(source, edit) if scene.thing(thing.uid) == thing]
    ways = ["removed", "moved", "resized", "replaced"] if candidates else []
    # Under a changed tone (black and white, say) a changed colour could not be seen.
    if candidates and edit.kind != "tone":
        ways.append("recoloured")
    if edit.kind not in ("add", "count"):
        ways.append("added")
    if not ways:
        return None
    way = choose(rng, ways)
    places = scene.free_places(22.0)
    if way in ("moved", "added") and not places:
        return None
    if way == "added":
        x, y = put(rng, choose(rng, places))
        return scene.plus(
            Thing(INTRUDER_UID, choose(rng, SHAPES), choose(rng, COLOURS), RADII[choose(rng, RADII)], x, y)
        )
    thing = candidates[int(rng.integers(len(candidates)))]
    if way == "removed":
        return scene.without(thing.uid)
    if way == "recoloured":
        return scene.with_thing(replace(thing, colour=choose(rng, set_without(COLOURS, thing.colour))))
    if way == "replaced":
        return scene.with_thing(replace(thing, shape=choose(rng, set_without(SHAPES, thing.shape))))
    if way == "resized":
        return scene.with_thing(replace(thing, radius=RADII["small" if thing.size == "big" else "big"]))
    x, y = put(rng, choose(rng, places))
    return scene.with_thing(replace(thing, x=x, y=y))


def set_without(options: object, left_out: str) -> list[str]:
    """All options but one, in order."""
    assert isinstance(options, (dict, tuple))
    return [option for option in options if option != left_out]


def _wrong_attribute(rng: np.random.Generator, source: Scene, edit: Edit) -> Scene | None:
    if edit.kind == "recolour":
        wrong = [colour for colour in COLOURS if colour not in (edit.colour, edit.target.colour)]
        return source.with_thing(replace(edit.target, colour=choose(rng, wrong)))
    if edit.kind == "replace":
        wrong = [shape for shape in SHAPES if shape not in (edit.shape, edit.target.shape)]
        return source.with_thing(replace(edit.target, shape=choose(rng, wrong)))
    if edit.kind == "add":
        return _wrong_addition(rng, source, edit)
    if edit.kind == "move":
        places = [place for place in source.free_places() if place != edit.place]
        if not places:
            return None
        x, y = put(rng, choose(rng, places))
        return source.with_thing(replace(edit.target, x=x, y=y))
    if edit.kind == "resize":
        return source.with_thing(replace(edit.target, radius=4.0 if edit.size == "big" else 16.0))
    if edit.kind == "background":
        assert edit.background is not None
        background = _other_background(rng, edit.background)
        same = background.name == source.background.name or background.kind == "photo"
        return None if same else replace(source, background=background)
    if edit.kind == "tone":
        return replace(source, tone=choose(rng, set_without(TONES, edit.tone)))
    if edit.kind == "count":
        if not edit.added:
            return None
        thing = edit.added[-1]
        recoloured = replace(thing, colour=choose(rng, set_without(COLOURS, thing.colour)))
        return apply(source, edit).with_thing(recoloured)
    return None


def _wrong_addition(rng: np.random.Generator, source: Scene, edit: Edit) -> Scene | None:
    thing = edit.target
    aspect = choose(rng, ("shape", "colour", "place"))
    if aspect == "shape":
        return source.plus(replace(thing, shape=choose(rng, set_without(SHAPES, thing.shape))))
    if aspect == "colour":
        return source.plus(replace(thing, colour=choose(rng, set_without(COLOURS, thing.colour))))
    places = [place for place in source.free_places() if place != edit.place]
    if not places:
        return None
    x, y = put(rng, choose(rng, places))
    return source.plus(replace(thing, x=x, y=y))


def _wrong_object(rng: np.random.Generator, source: Scene, edit: Edit) -> Scene | None:
    others = _others(source, edit)
    if edit.kind in ("add", "background", "tone", "count") or not others:
        return None
    other = others[int(rng.integers(len(others)))]
    if edit.kind == "remove":
        return source.without(other.uid)
    mistaken = changed(edit, other)
    return None if mistaken == other else source.with_thing(mistaken)


def _half_done(rng: np.random.Generator, source: Scene, edit: Edit) -> Scene | None:
    if edit.kind == "recolour":
        return source.with_thing(replace(edit.target, right_colour=edit.colour))
    if edit.kind == "remove":
        return source.with_thing(replace(edit.target, alpha=_GHOST_ALPHA))
    if edit.kind == "resize":
        return source.with_thing(replace(edit.target, radius=HALFWAY_RADIUS))
    if edit.kind == "move":
        goal = edit.added[0]
        x, y = (edit.target.x + goal.x) / 2, (edit.target.y + goal.y) / 2
        blocked = any(
            np.hypot(thing.x - x, thing.y - y) < 18 for thing in source.things if thing.uid != edit.target.uid
        )
        return None if blocked else source.with_thing(replace(edit.target, x=x, y=y))
    if edit.kind == "background":
        return replace(source, half_background=edit.background)
    if edit.kind == "tone":
        return replace(source, tone=edit.tone, tone_half=True)
    if edit.kind == "count" and abs(edit.number - edit.before) > 1:
        return apply(source, replace(edit, added=edit.added[:1], removed=edit.removed[:1]))
    return None


def _displaced(rng: np.random.Generator, source: Scene, edit: Edit) -> Scene | None:
    if edit.kind not in ("recolour", "replace", "resize", "move"):
        return None
    done = apply(source, edit)
    thing = done.thing(edit.target.uid)
    assert thing is not None
    if edit.kind == "move":
        # It lands where it should, but not as it was.
        spoilt = choose(rng, ("shape", "colour", "size"))
        if spoilt == "shape":
            return done.with_thing(replace(thing, shape=choose(rng, set_without(SHAPES, thing.shape))))
        if spoilt == "colour":
            return done.with_thing(replace(thing, colour=choose(rng, set_without(COLOURS, thing.colour))))
        return done.with_thing(replace(thing, radius=RADII["small" if thing.size == "big" else "big"]))
    for _ in range(6):
        angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(*_DISPLACEMENT)
        x, y = thing.x + length * np.cos(angle), thing.y + length * np.sin(angle)
        clear = all(np.hypot(other.x - x, other.y - y) > 18 for other in done.things if other.uid != thing.uid)
        if clear and 6 < x < CANVAS - 6 and 6 < y < CANVAS - 6:
            return done.with_thing(replace(thing, x=float(x), y=float(y)))
    return None


def _duplicated(rng: np.random.Generator, source: Scene, edit: Edit) -> Scene | None:
    done = apply(source, edit)
    if edit.kind == "move":
        return done.plus(replace(edit.target, uid=STAY_BEHIND_UID))
    if edit.kind not in ("recolour", "replace", "add", "resize"):
        return None
    thing = done.thing(edit.target.uid)
    places = done.free_places(22.0)
    if thing is None or not places:
        return None
    x, y = put(rng, choose(rng, places))
    return done.plus(replace(thing, uid=TWIN_UID, x=x, y=y))


def _compound(rng: np.random.Generator, source: Scene, edit: Edit, fault: str) -> Scene | None:
    """Half done means one of two; any other fault strikes one part while the other succeeds."""
    spared, struck = (edit.parts[int(index)] for index in rng.permutation(2))
    done = apply(source, spared)
    if fault == "half_done":
        return done
    if fault == "wrong_attribute":
        return _wrong_attribute(rng, done, struck)
    return None


_FAULTS: dict[str, Callable[[np.random.Generator, Scene, Edit], Scene | None]] = {
    "wrong_attribute": _wrong_attribute,
    "wrong_object": _wrong_object,
    "half_done": _half_done,
    "displaced": _displaced,
    "duplicated": _duplicated,
}
