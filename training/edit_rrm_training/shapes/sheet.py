"""Contact sheets: a page of samples with the oracle's verdicts, so that a person can look at the world."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import wrap

from PIL import Image, ImageDraw, ImageFont

from edit_rrm_training.shapes.sample import Sample
from edit_rrm_training.shapes.vocabulary import CANVAS

_SCALE = 3
_PICTURE = CANVAS * _SCALE
_WIDTH = 2 * _PICTURE + 24
_HEIGHT = _PICTURE + 230
_GOOD, _BAD, _INK = (20, 120, 50), (190, 30, 30), (20, 20, 20)


def contact_sheet(samples: Iterable[Sample], columns: int = 4) -> Image.Image:
    """Draw samples in a grid: source, edited image, instruction, faults, score, and every verdict with its reason."""
    cards = [_card(sample) for sample in samples]
    if not cards:
        raise ValueError("a contact sheet needs at least one sample")
    rows = -(-len(cards) // columns)
    sheet = Image.new("RGB", (min(columns, len(cards)) * _WIDTH, rows * _HEIGHT), "white")
    for index, card in enumerate(cards):
        sheet.paste(card, (index % columns * _WIDTH, index // columns * _HEIGHT))
    return sheet


def _card(sample: Sample) -> Image.Image:
    card = Image.new("RGB", (_WIDTH, _HEIGHT), "white")
    draw = ImageDraw.Draw(card)
    font = ImageFont.load_default(13)
    for left, pixels in ((8, sample.source_pixels()), (16 + _PICTURE, sample.edited_pixels())):
        picture = Image.fromarray(pixels).resize((_PICTURE, _PICTURE), Image.Resampling.NEAREST)
        card.paste(picture, (left, 8))
    faults = ", ".join((sample.edited.main, *sample.edited.side)).replace("_", " ")
    lines: list[tuple[str, tuple[int, int, int]]] = [(line, _INK) for line in wrap(sample.instruction, 62)]
    lines.append((f"{sample.split}/{sample.index}   faults: {faults}   score {sample.truth.score:g}", (90, 90, 90)))
    for finding in sample.truth.findings:
        mark = "yes" if finding.passed else "no"
        lines.append((f"{mark:<4}{finding.principle.question}  ({finding.reason})", _GOOD if finding.passed else _BAD))
    _write(draw, lines, font)
    return card


def _write(
    draw: ImageDraw.ImageDraw,
    lines: Sequence[tuple[str, tuple[int, int, int]]],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    for number, (line, colour) in enumerate(lines):
        draw.text((8, 16 + _PICTURE + number * 17), line[:74], fill=colour, font=font)
