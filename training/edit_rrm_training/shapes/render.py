"""Scenes -> pixels. Masks are drawn once per shape and radius; an image is then a few array blends (about 0.2 ms)."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from edit_rrm_training.shapes.scene import Background, Scene, Thing
from edit_rrm_training.shapes.vocabulary import BACKGROUND_COLOURS, CANVAS, COLOURS

Pixels = NDArray[np.uint8]
"""An RGB image, shape (84, 84, 3)."""

_SUPERSAMPLING = 8
_OUTLINE = 1.3
_NOISE_SIGMA = 30.0
_BLOCK = 7


def render(scene: Scene) -> Pixels:
    """Draw a scene.

    Returns:
        RGB pixels, shape (84, 84, 3), uint8. The same scene gives the same pixels.
    """
    canvas = _background(scene.background).astype(np.float32)
    if scene.half_background is not None:
        canvas[:, CANVAS // 2 :] = _background(scene.half_background)[:, CANVAS // 2 :]
    for thing in scene.things:
        _draw(canvas, thing)
    if scene.tone is not None:
        toned = _tone(canvas, scene.tone, 1.0)
        if scene.tone_half:
            canvas[:, : CANVAS // 2] = toned[:, : CANVAS // 2]
        else:
            canvas = toned
    if scene.shift is not None:
        canvas = _tone(canvas, scene.shift, 0.55)
    pixels = np.clip(canvas + 0.5, 0, 255).astype(np.uint8)
    return _artefact(pixels, scene.artefact, scene.noise_seed)


@lru_cache(maxsize=512)
def _mask(shape: str, radius: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Coverage of the outlined shape and of its inside, each in [0, 1], centred on an odd square."""
    half = math.ceil(radius + _OUTLINE) + 1
    side = (2 * half + 1) * _SUPERSAMPLING
    masks = []
    for grow in (0.0, -_OUTLINE):
        image = Image.new("L", (side, side))
        draw = ImageDraw.Draw(image)
        centre = side / 2
        r = (radius + grow) * _SUPERSAMPLING
        if shape == "circle":
            draw.ellipse((centre - r, centre - r, centre + r, centre + r), fill=255)
        else:
            draw.polygon([(centre + r * x, centre + r * y) for x, y in _corners(shape)], fill=255)
        small = image.resize((2 * half + 1, 2 * half + 1), Image.Resampling.BOX)
        masks.append(np.asarray(small, dtype=np.float32)[..., None] / 255.0)
    return masks[0], masks[1]


def _corners(shape: str) -> list[tuple[float, float]]:
    """Corners of a shape of radius 1 around the origin, y down."""
    if shape == "square":
        return [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)]
    if shape == "triangle":
        return [(0.0, -1.0), (0.98, 0.8), (-0.98, 0.8)]
    if shape == "diamond":
        return [(0.0, -1.05), (0.75, 0.0), (0.0, 1.05), (-0.75, 0.0)]
    if shape == "star":
        points = []
        for step in range(10):
            radius = 1.08 if step % 2 == 0 else 0.46
            angle = -math.pi / 2 + step * math.pi / 5
            points.append((radius * math.cos(angle), radius * math.sin(angle)))
        return points
    arm = 0.34
    return [
        (-arm, -1.0), (arm, -1.0), (arm, -arm), (1.0, -arm), (1.0, arm), (arm, arm),
        (arm, 1.0), (-arm, 1.0), (-arm, arm), (-1.0, arm), (-1.0, -arm), (-arm, -arm),
    ]  # fmt: skip


def _draw(canvas: NDArray[np.float32], thing: Thing) -> None:
    outer, inner = _mask(thing.shape, thing.radius)
    half = outer.shape[0] // 2
    left, top = round(thing.x) - half, round(thing.y) - half
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + outer.shape[1], CANVAS), min(top + outer.shape[0], CANVAS)
    if x0 >= x1 or y0 >= y1:
        return
    window = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
    region = canvas[y0:y1, x0:x1]
    edge = np.float32(225.0 if thing.colour == "black" else 30.0)
    fill = np.empty_like(outer, shape=(*outer.shape[:2], 3))
    fill[:] = COLOURS[thing.colour]
    if thing.right_colour is not None:
        fill[:, half + 1 :] = COLOURS[thing.right_colour]
    painted = edge + (fill[window] - edge) * inner[window]
    region += (painted - region) * (outer[window] * np.float32(thing.alpha))


@lru_cache(maxsize=1)
def _photographs() -> dict[str, Image.Image]:
    from skimage import data

    pictures = {"astronaut": data.astronaut, "chelsea": data.chelsea, "coffee": data.coffee, "rocket": data.rocket}
    return {name: Image.fromarray(load()).convert("RGB") for name, load in pictures.items()}


@lru_cache(maxsize=64)
def _background(background: Background) -> NDArray[np.float32]:
    if background.kind == "photo":
        photo = _photographs()[background.photo]
        side = min(background.crop[2], *photo.size)
        left, top = background.crop[0] % (photo.width - side + 1), background.crop[1] % (photo.height - side + 1)
        box = (left, top, left + side, top + side)
        pixels = np.asarray(photo.resize((CANVAS, CANVAS), Image.Resampling.BILINEAR, box=box), dtype=np.float32)
        return np.asarray(0.7 * pixels + 0.3 * pixels.mean(), dtype=np.float32)
    base = np.array(BACKGROUND_COLOURS[background.colour], dtype=np.float32)
    second = base * 0.62 if base.mean() > 90 else base * 0.6 + 80
    x = np.arange(CANVAS, dtype=np.int64)[None, :] + background.phase
    y = np.arange(CANVAS, dtype=np.int64)[:, None] + background.phase
    if background.kind == "plain":
        pattern = np.zeros((CANVAS, CANVAS), dtype=bool)
    elif background.kind == "stripes":
        pattern = np.broadcast_to((x + y) % 14 < 6, (CANVAS, CANVAS))
    elif background.kind == "checks":
        pattern = ((x // 7) + (y // 7)) % 2 == 0
    else:
        pattern = ((x % 14 - 7) ** 2 + (y % 14 - 7) ** 2) < 12
    return np.where(pattern[..., None], second, base).astype(np.float32)


def _tone(canvas: NDArray[np.float32], tone: str, strength: float) -> NDArray[np.float32]:
    if tone == "darker":
        changed = canvas * 0.42
    elif tone == "brighter":
        changed = canvas * 0.55 + 115.0
    elif tone == "warmer":
        changed = canvas * np.array((1.05, 0.92, 0.5), dtype=np.float32) + np.array((38, 12, 0), dtype=np.float32)
    elif tone == "cooler":
        changed = canvas * np.array((0.5, 0.88, 1.05), dtype=np.float32) + np.array((0, 8, 40), dtype=np.float32)
    else:
        luma = canvas @ np.array((0.299, 0.587, 0.114), dtype=np.float32)
        changed = np.repeat(luma[..., None], 3, axis=2)
    return canvas + (changed - canvas) * np.float32(strength)


def _artefact(pixels: Pixels, artefact: str | None, seed: int) -> Pixels:
    if artefact == "blur":
        return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(1.7)))
    if artefact == "noise":
        noise = np.random.default_rng(seed).standard_normal(pixels.shape, dtype=np.float32) * _NOISE_SIGMA
        return np.clip(pixels + noise, 0, 255).astype(np.uint8)
    if artefact == "blocks":
        cells = CANVAS // _BLOCK
        means = pixels.reshape(cells, _BLOCK, cells, _BLOCK, 3).mean(axis=(1, 3))
        return np.repeat(np.repeat(means, _BLOCK, axis=0), _BLOCK, axis=1).astype(np.uint8)
    return pixels
