"""Edits: what an instruction of the shapes world asks for, and its perfect result.

The kinds mirror the public benchmarks' (GEdit, ImgEdit): colour, replace, add, remove, motion (move, resize),
background, count, tone, and compounds of two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from edit_rrm_training.shapes.scene import Background, Scene, Thing, choose, put, random_background
from edit_rrm_training.shapes.vocabulary import COLOURS, NUMBERS, RADII, SHAPES, TONES

OBJECT_KINDS = ("recolour", "replace", "add", "remove", "move", "resize")
"""Kinds that touch one object; a compound is two of them on different objects."""

EDIT_KINDS = (*OBJECT_KINDS, "background", "count", "tone", "compound")

Combination = tuple[str, str, str]
"""(kind, shape, colour): what the held-out-combinations split holds out."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit of one scene. Only the fields its kind needs are set."""

    kind: str
    thing: Thing | None = None
    """The object concerned: as it is in the source, or (for `add`) as it should come to be."""
    colour: str = ""
    shape: str = ""
    place: str = ""
    size: str = ""
    background: Background | None = None
    tone: str = ""
    before: int = 0
    number: int = 0
    added: tuple[Thing, ...] = ()
    """For `count`: the objects that have to appear."""
    removed: tuple[int, ...] = ()
    """For `count`: the `uid`s of the objects that have to go."""
    parts: tuple[Edit, ...] = ()

    @property
    def target(self) -> Thing:
        """The object concerned.

        Raises:
            ValueError: The edit concerns no single object.
        """
        if self.thing is None:
            raise ValueError(f"a {self.kind} edit has no single object")
        return self.thing

    @property
    def concerned(self) -> frozenset[int]:
        """`uid`s of the objects this edit is about."""
        own = {self.thing.uid} if self.thing is not None else set()
        own |= {thing.uid for thing in self.added} | set(self.removed)
        return frozenset(own.union(*(part.concerned for part in self.parts)))

    @property
    def combinations(self) -> tuple[Combination, ...]:
        """The (kind, shape, colour) triples this edit is about; none for whole-image edits."""
        if self.parts:
            return tuple(combination for part in self.parts for combination in part.combinations)
        return () if self.thing is None else ((self.kind, self.thing.shape, self.thing.colour),)


def held_out(combination: Combination) -> bool:
    """Whether a combination is kept out of training: a fixed tenth of all (kind, shape, colour) triples."""
    kind, shape, colour = combination
    if kind not in (*OBJECT_KINDS, "count"):
        return False
    return (3 * EDIT_KINDS.index(kind) + 7 * SHAPES.index(shape) + 4 * list(COLOURS).index(colour)) % 10 == 0


def plan(rng: np.random.Generator, scene: Scene, kind: str) -> tuple[Scene, Edit] | None:
    """Think of an edit of a kind.

    Returns:
        The scene (with more objects where counting needs them) and the edit, or None where it has no room for it.
    """
    return _PLANS[kind](rng, scene)


def apply(scene: Scene, edit: Edit) -> Scene:
    """The perfect result of an edit."""
    if edit.kind == "compound":
        for part in edit.parts:
            scene = apply(scene, part)
        return scene
    if edit.kind == "background":
        assert edit.background is not None
        return replace(scene, background=edit.background)
    if edit.kind == "tone":
        return replace(scene, tone=edit.tone)
    if edit.kind == "count":
        for uid in edit.removed:
            scene = scene.without(uid)
        for thing in edit.added:
            scene = scene.plus(thing)
        return scene
    if edit.kind == "remove":
        return scene.without(edit.target.uid)
    if edit.kind == "add":
        return scene.plus(edit.target)
    return scene.with_thing(changed(edit, edit.target))


def changed(edit: Edit, thing: Thing) -> Thing:
    """What a recolour, replace, move or resize makes of an object (the right one, or by mistake another)."""
    if edit.kind == "recolour":
        return replace(thing, colour=edit.colour)
    if edit.kind == "replace":
        return replace(thing, shape=edit.shape)
    if edit.kind == "resize":
        return replace(thing, radius=RADII[edit.size])
    if edit.kind == "move":
        return replace(thing, x=edit.added[0].x, y=edit.added[0].y)
    raise ValueError(f"a {edit.kind} edit does not change an object in place")


def _any(rng: np.random.Generator, scene: Scene) -> Thing:
    return scene.things[int(rng.integers(len(scene.things)))]


def _names(scene: Scene) -> set[tuple[str, str]]:
    return {(thing.shape, thing.colour) for thing in scene.things}


def _plan_recolour(rng: np.random.Generator, scene: Scene) -> tuple[Scene, Edit] | None:
    thing = _any(rng, scene)
    colours = [colour for colour in COLOURS if (thing.shape, colour) not in _names(scene)]
    return scene, Edit("recolour", thing, colour=choose(rng, colours))


def _plan_replace(rng: np.random.Generator, scene: Scene) -> tuple[Scene, Edit] | None:
    thing = _any(rng, scene)
    shapes = [shape for shape in SHAPES if (shape, thing.colour) not in _names(scene)]
    return (scene, Edit("replace", thing, shape=choose(rng, shapes))) if shapes else None


def _plan_add(rng: np.random.Generator, scene: Scene) -> tuple[Scene, Edit] | None:
    places = scene.free_places()
    free = [(shape, colour) for shape in SHAPES for colour in COLOURS if (shape, colour) not in _names(scene)]
    if not places:
        return None
    shape, colour = free[int(rng.integers(len(free)))]
    place = choose(rng, places)
    size = choose(rng, RADII)
    return scene, Edit("add", Thing(scene.fresh_uid(), shape, colour, RADII[size], *put(rng, place)), place=place)


def _plan_remove(rng: np.random.Generator, scene: Scene) -> tuple[Scene, Edit] | None:
    return scene, Edit("remove", _any(rng, scene))


def _plan_move(rng: np.random.Generator, scene: Scene) -> tuple[Scene, Edit] | None:
    thing, places = _any(rng, scene), scene.free_places()
    if not places:
        return None
    place = choose(rng, places)
    x, y = put(rng, place)
    return scene, Edit("move", thing, place=place, added=(replace(thing, x=x, y=y),))


def _plan_resize(rng: np.random.Generator, scene: Scene) -> tuple[Scene, Edit] | None:
    thing = _any(rng, scene)
    return scene, Edit("resize", thing, size="small" if thing.size == "big" else "big")


def _plan_background(rng: np.random.Generator, scene: Scene) -> tuple[Scene, Edit] | None:
    background = random_background(rng, photos=False)
    if background.name == scene.background.name:
        return None
    return scene, Edit("background", background=background)


def _plan_tone(rng: np.random.Generator, scene: Scene) -> tuple[Scene, Edit] | None:
    return scene, Edit("tone", tone=choose(rng, TONES))


def _plan_count(rng: np.random.Generator, scene: Scene) -> tuple[Scene, Edit] | None:
    thing = _any(rng, scene)
    twins = [thing]
    for _ in range(int(rng.integers(0, 3))):
        places = scene.free_places()
        if len(places) > 2:
            x, y = put(rng, choose(rng, places))
            twins.append(replace(thing, uid=scene.fresh_uid(), x=x, y=y))
            scene = scene.plus(twins[-1])
    before = len(twins)
    number = int(choose(rng, [str(n) for n in NUMBERS if n != before and abs(n - before) <= 2]))
    removed = tuple(twin.uid for twin in twins[number:])
    added: list[Thing] = []
    grown = scene
    for _ in range(number - before):
        places = grown.free_places()
        if not places:
            return None
        x, y = put(rng, choose(rng, places))
        added.append(replace(thing, uid=grown.fresh_uid(), x=x, y=y))
        grown = grown.plus(added[-1])
    return scene, Edit("count", thing, before=before, number=number, added=tuple(added), removed=removed)


def _plan_compound(rng: np.random.Generator, scene: Scene) -> tuple[Scene, Edit] | None:
    first = plan(rng, scene, choose(rng, OBJECT_KINDS))
    if first is None:
        return None
    one = first[1]
    halfway = apply(scene, one)
    second = plan(rng, halfway, choose(rng, OBJECT_KINDS))
    if second is None or second[1].target.uid == one.target.uid or second[1].kind == one.kind:
        return None
    two = second[1]
    # The second edit must make sense on the source as it stands: its own object is there, and its cell is free on both.
    if two.kind == "add":
        two = replace(two, thing=replace(two.target, uid=scene.fresh_uid() + 1))
    if two.place and two.place not in scene.free_places():
        return None
    if two.kind == "add" and (two.target.shape, two.target.colour) in _names(scene):
        return None
    return scene, Edit("compound", parts=(one, two))


_PLANS: dict[str, Callable[[np.random.Generator, Scene], tuple[Scene, Edit] | None]] = {
    "recolour": _plan_recolour,
    "replace": _plan_replace,
    "add": _plan_add,
    "remove": _plan_remove,
    "move": _plan_move,
    "resize": _plan_resize,
    "background": _plan_background,
    "count": _plan_count,
    "tone": _plan_tone,
    "compound": _plan_compound,
}
