"""Scenes: what an image of the shapes world shows, down to the last pixel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from edit_rrm_training.shapes.vocabulary import (
    BACKGROUND_COLOURS,
    CANVAS,
    COLOURS,
    JITTER,
    PATTERNS,
    PHOTOS,
    PLACES,
    RADII,
    SHAPES,
    cell_centre,
)


@dataclass(frozen=True, slots=True)
class Thing:
    """One object. Two things with the same `uid` in a source and an edited scene are the same object."""

    uid: int
    shape: str
    colour: str
    radius: float
    x: float
    y: float
    right_colour: str | None = None
    """Colour of the right half, where a recolouring stopped halfway."""
    alpha: float = 1.0
    """Opacity in (0, 1]; a removal that stopped halfway leaves a ghost."""

    @property
    def name(self) -> str:
        """How instructions call it."""
        return f"{self.colour} {self.shape}"

    @property
    def size(self) -> str:
        """The word for its size; the nearer one where it is neither."""
        return min(RADII, key=lambda word: abs(RADII[word] - self.radius))

    @property
    def place(self) -> str:
        """The cell its centre is in, or nearest to."""
        return min(PLACES, key=lambda place: self.distance_to(place))

    def distance_to(self, place: str) -> float:
        """Distance of its centre from a cell's centre, in pixels."""
        x, y = cell_centre(place)
        return float(np.hypot(self.x - x, self.y - y))


@dataclass(frozen=True, slots=True)
class Background:
    """A plain, patterned or photographic background."""

    kind: str
    """One of `PATTERNS`, or `photo`."""
    colour: str = "gray"
    phase: int = 0
    """Offset of the pattern in pixels."""
    photo: str = ""
    crop: tuple[int, int, int] = (0, 0, 0)
    """Left, top and side of the crop in the photograph, in pixels."""

    @property
    def name(self) -> str:
        """How instructions call it."""
        return f"plain {self.colour}" if self.kind == "plain" else f"{self.colour} {self.kind}"


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything one image shows. Equal scenes render to equal pixels."""

    background: Background
    things: tuple[Thing, ...]
    tone: str | None = None
    """One of `TONES`, applied to the whole image (or its left half)."""
    tone_half: bool = False
    shift: str | None = None
    """An unasked-for, milder change of tone."""
    half_background: Background | None = None
    """Background of the right half, where a change of background stopped halfway."""
    artefact: str | None = None
    """`blur`, `noise` or `blocks`."""
    noise_seed: int = field(default=0)

    def thing(self, uid: int) -> Thing | None:
        """The object with this `uid`, or None."""
        return next((thing for thing in self.things if thing.uid == uid), None)

    def with_thing(self, thing: Thing) -> Scene:
        """The scene with the object of the same `uid` replaced."""
        return replace(self, things=tuple(thing if old.uid == thing.uid else old for old in self.things))

    def without(self, uid: int) -> Scene:
        """The scene less one object."""
        return replace(self, things=tuple(thing for thing in self.things if thing.uid != uid))

    def plus(self, thing: Thing) -> Scene:
        """The scene with one more object, on top."""
        return replace(self, things=(*self.things, thing))

    def free_places(self, clearance: float = 20.0) -> list[str]:
        """Cells with no object's centre within `clearance` pixels of theirs."""
        return [place for place in PLACES if all(thing.distance_to(place) > clearance for thing in self.things)]

    def fresh_uid(self) -> int:
        """A `uid` no object of this scene has."""
        return 1 + max((thing.uid for thing in self.things), default=0)


def put(rng: np.random.Generator, place: str) -> tuple[float, float]:
    """A jittered position in a cell."""
    x, y = cell_centre(place)
    return x + float(rng.integers(-JITTER, JITTER + 1)), y + float(rng.integers(-JITTER, JITTER + 1))


def choose(rng: np.random.Generator, options: Iterable[str]) -> str:
    """One of `options`, uniformly."""
    listed = list(options)
    return listed[int(rng.integers(len(listed)))]


def random_background(rng: np.random.Generator, *, photos: bool = True) -> Background:
    """A plain, patterned or photographic background, each about as often."""
    draw = rng.random()
    if photos and draw < 0.34:
        photo = choose(rng, PHOTOS)
        side = int(rng.integers(CANVAS, 200))
        return Background("photo", photo=photo, crop=(int(rng.integers(10_000)), int(rng.integers(10_000)), side))
    kind = "plain" if draw < 0.67 else choose(rng, PATTERNS[1:])
    return Background(kind, choose(rng, BACKGROUND_COLOURS), int(rng.integers(14)) if kind != "plain" else 0)


def random_thing(rng: np.random.Generator, uid: int, place: str, taken: set[tuple[str, str]]) -> Thing:
    """An object in a cell whose (shape, colour) is not taken yet; takes it."""
    while True:
        shape, colour = choose(rng, SHAPES), choose(rng, COLOURS)
        if (shape, colour) not in taken:
            taken.add((shape, colour))
            x, y = put(rng, place)
            return Thing(uid, shape, colour, RADII[choose(rng, RADII)], x, y)


def random_scene(rng: np.random.Generator) -> Scene:
    """A background and two to five objects in different cells, no two alike in shape and colour."""
    places = list(PLACES)
    order = rng.permutation(len(places))[: int(rng.integers(2, 6))]
    taken: set[tuple[str, str]] = set()
    things = tuple(random_thing(rng, uid, places[int(cell)], taken) for uid, cell in enumerate(order, start=1))
    return Scene(random_background(rng), things)
