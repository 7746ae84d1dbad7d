"""Copies of a source are told from edits of it, whatever the size that a policy draws in and whatever drawing costs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image, ImageDraw, ImageFilter

from edit_rrm_training.editor.nano.pictures import cropped, padded
from edit_rrm_training.editor.nano.tasks import make_task
from edit_rrm_training.editor.no_edit import NoEditPenalty, is_copy
from edit_rrm_training.editor.policies.base import Size
from edit_rrm_training.editor.policies.fitting import Fit, fit_picture, fitted_size, size_of, unfit_picture
from edit_rrm_training.editor.prompts import Prompt
from edit_rrm_training.editor.shipped import editor_path
from edit_rrm_training.shapes.render import render

_MULTIPLE, _MAX_PIXELS = 16, 256 * 256


def bucket(source: Image.Image, fit: Fit = "resize") -> Size:
    most = _MAX_PIXELS if fit == "resize" else 2**22
    return fitted_size(size_of(source), _MULTIPLE, most, fit)


def penalties(source: Image.Image, edits: list[Image.Image], fit: Fit = "resize") -> list[float]:
    found = NoEditPenalty(lambda picture: bucket(picture, fit), fit)(Prompt("edit it", source, "a"), edits)
    assert found.dtype == np.float32
    return [float(value) for value in found]


def drawn_again(source: Image.Image, fit: Fit = "resize") -> Image.Image:
    """A perfect copy, as a policy gives it."""
    return unfit_picture(fit_picture(source, bucket(source, fit), fit), size_of(source), fit)


@cache
def leaves(seed: int, width: int = 600, height: int = 480) -> Image.Image:
    """Overlapping discs of all sizes, with edges and details as photographs have them (a dead leaves model)."""
    random = np.random.default_rng(seed)
    picture = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(picture)
    for _ in range(3_000):
        radius = min(height / 3, 4 * (random.pareto(1.5) + 1))
        x, y = random.uniform(0, width), random.uniform(0, height)
        colour = tuple(int(value) for value in random.integers(0, 256, 3))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    return picture


def compressed(picture: Image.Image, quality: int) -> Image.Image:
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def noisy(picture: Image.Image, deviation: float) -> Image.Image:
    pixels = np.asarray(picture, np.float32)
    noise = np.random.default_rng(0).normal(0.0, deviation, pixels.shape)
    return Image.fromarray((pixels + noise).clip(0, 255).round().astype(np.uint8))


def recoloured(picture: Image.Image, share: float, seed: int, by: int) -> Image.Image:
    """With an object of a share of the area, somewhere, whose channels are `by` levels brighter or darker."""
    radius = float(np.sqrt(share * picture.width * picture.height / np.pi))
    x, y = (np.random.default_rng(seed).uniform(radius, side - radius) for side in picture.size)
    mask = Image.new("L", picture.size)
    ImageDraw.Draw(mask).ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    pixels, inside = np.asarray(picture, np.int64), np.asarray(mask) > 0
    towards = np.where(pixels[inside].mean(axis=0) < 128, by, -by)
    other = (pixels + towards).clip(0, 255)
    return Image.fromarray(np.where(inside[..., None], other, pixels).astype(np.uint8))


def test_a_copy_of_a_larger_source_is_one_though_it_was_scaled_down() -> None:
    source = leaves(0)
    copy = drawn_again(source)
    off = np.abs(np.asarray(copy, np.float32) - np.asarray(source, np.float32)).mean()
    assert off > 3.0  # which no threshold on pixels tells from an edit
    assert penalties(source, [copy, leaves(1)]) == [-1.0, 0.0]


@pytest.mark.parametrize("fit", ["resize", "pad"])
def test_a_source_is_compared_upright_on_white_and_in_its_depth(fit: Fit) -> None:
    turned: Any = leaves(0, 300, 200).copy()
    turned.getexif()[0x0112] = 6
    clear = leaves(0, 300, 200).convert("RGBA")
    clear.paste((200, 0, 0, 0), (0, 0, 150, 200))
    grey = np.asarray(leaves(0, 300, 200).convert("L"))
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    for source in (turned, clear, deep):
        assert penalties(source, [drawn_again(source, fit)], fit) == [-1.0]
    assert penalties(turned, [turned.rotate(-90, expand=True)], fit) == [-1.0]
    assert penalties(deep, [Image.fromarray(grey).convert("RGB"), deep.convert("RGB")], fit) == [-1.0, 0.0]


def test_pictures_of_few_pixels_have_as_many_cells() -> None:
    red = Image.new("RGB", (8, 8), "red")
    almost = Image.fromarray(np.asarray(red) - np.uint8(1) * (np.asarray(red) > 0))
    assert penalties(red, [red, almost, Image.new("RGB", (8, 8), "blue")]) == [-1.0, -1.0, 0.0]
    assert penalties(Image.new("RGB", (1, 900), "red"), [Image.new("RGB", (1, 900), "red")]) == [-1.0]


@pytest.mark.parametrize(
    "lost",
    [
        lambda copy: compressed(copy, 30),
        lambda copy: noisy(copy, 12.0),
        lambda copy: copy.filter(ImageFilter.GaussianBlur(2)),
        lambda copy: compressed(noisy(copy.filter(ImageFilter.GaussianBlur(1)), 5.0), 75),
    ],
    ids=["jpeg", "noise", "blur", "all"],
)
def test_what_drawing_loses_is_no_edit(lost: Callable[[Image.Image], Image.Image]) -> None:
    for seed in range(3):
        source = leaves(seed)
        assert penalties(source, [lost(drawn_again(source))]) == [-1.0]


@pytest.mark.parametrize(("share", "by"), [(0.03, 20), (0.02, 30), (0.01, 60)])
def test_a_small_object_of_another_colour_is_an_edit(share: float, by: int) -> None:
    source = leaves(0)
    copy = drawn_again(source)
    edits = [recoloured(copy, share, seed, by) for seed in range(8)]
    off = np.abs(np.asarray(edits[0], np.float32) - np.asarray(copy, np.float32)).mean()
    assert off < 1.0  # of pixels, which looks like a copy
    assert penalties(source, edits) == [0.0] * 8


def test_a_picture_of_another_brightness_is_an_edit() -> None:
    source = leaves(0)
    brighter = drawn_again(source).point(lambda value: value + 6)
    assert penalties(source, [brighter]) == [0.0]


@torch.no_grad()
def test_what_the_shipped_vae_draws_of_its_sources_are_copies_and_the_edits_of_its_world_are_none() -> None:
    vae = AutoencoderKL.from_pretrained(editor_path("nano"), subfolder="vae", dtype=torch.float32)
    tasks = [make_task("validation", index) for index in range(60)]
    pixels = [render(task.source) for task in tasks]
    copies = map(Image.fromarray, cropped(vae.decode(vae.encode(padded(pixels)).latent_dist.mode()).sample))
    sources = [Image.fromarray(one) for one in pixels]
    assert np.mean([is_copy(one, other) for one, other in zip(sources, copies, strict=True)]) > 0.9
    targets = [Image.fromarray(render(task.target)) for task in tasks]
    assert np.mean([is_copy(one, other) for one, other in zip(sources, targets, strict=True)]) < 0.02
