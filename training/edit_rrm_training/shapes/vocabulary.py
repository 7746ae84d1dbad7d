"""Words of the shapes world, and what they look like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CANVAS: Final = 84
"""Side of every image, in pixels."""

SHAPES: Final = ("circle", "square", "triangle", "diamond", "star", "cross")

COLOURS: Final[Mapping[str, tuple[int, int, int]]] = {
    "red": (220, 40, 40),
    "orange": (250, 140, 20),
    "yellow": (250, 225, 60),
    "green": (40, 165, 70),
    "blue": (40, 90, 225),
    "purple": (150, 55, 190),
    "white": (246, 246, 246),
    "black": (24, 24, 24),
}

RADII: Final[Mapping[str, float]] = {"small": 7.0, "big": 12.0}
"""Radius of an object in pixels, by the word for its size."""

HALFWAY_RADIUS: Final = 9.5
"""What a half-done resize leaves: visibly neither small nor big."""

PLACES: Final[Mapping[str, tuple[int, int]]] = {
    "top left": (0, 0),
    "top": (1, 0),
    "top right": (2, 0),
    "left": (0, 1),
    "middle": (1, 1),
    "right": (2, 1),
    "bottom left": (0, 2),
    "bottom": (1, 2),
    "bottom right": (2, 2),
}
"""Words for the nine cells of the canvas, as (column, row)."""

JITTER: Final = 2
"""An object's centre lies within this many pixels of its cell's centre, on either axis."""

BACKGROUND_COLOURS: Final[Mapping[str, tuple[int, int, int]]] = {
    "gray": (150, 150, 150),
    "beige": (222, 200, 165),
    "navy": (35, 45, 95),
    "mint": (165, 220, 190),
    "pink": (240, 180, 200),
    "brown": (110, 75, 50),
}

PATTERNS: Final = ("plain", "stripes", "checks", "dots")
PHOTOS: Final = ("astronaut", "chelsea", "coffee", "rocket")
"""Pictures that ship with scikit-image, in the public domain or CC0."""

TONES: Final = ("darker", "brighter", "warmer", "cooler", "black and white")

NUMBERS: Final[Mapping[int, str]] = {1: "one", 2: "two", 3: "three", 4: "four"}


def cell_centre(place: str) -> tuple[float, float]:
    """Centre of a cell in pixels, as (x, y)."""
    column, row = PLACES[place]
    pitch = CANVAS / 3
    return (column + 0.5) * pitch, (row + 0.5) * pitch


def plural(shape: str) -> str:
    """Several of a shape, in words."""
    return f"{shape}es" if shape == "cross" else f"{shape}s"
