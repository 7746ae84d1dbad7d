"""Draws judgements as a picture: source | edited | verdicts, one row per edit."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from textwrap import wrap

from edit_rrm.verdicts import Reward
from PIL import Image, ImageDraw, ImageFont

_PICTURE = 300
_MARGIN = 20
_TEXT_WIDTH = 640
_LINE = 24
_INK, _MUTED, _GOOD, _BAD = (25, 25, 30), (110, 110, 120), (20, 125, 60), (200, 35, 35)


def draw_report(instruction: str, source: bytes, rows: Sequence[tuple[str, bytes, Reward]]) -> Image.Image:
    """Draw one row per judged edit.

    Args:
        instruction: What the edits were meant to do.
        source: The source image's file content.
        rows: (name, the edited image's file content, its reward) per edit.

    Returns:
        An RGB picture 1,320 pixels wide.
    """
    width = 3 * _MARGIN + 2 * _PICTURE + _TEXT_WIDTH + _MARGIN
    heights = [max(_PICTURE, _LINE * (len(reward.verdicts) + 3)) + 2 * _MARGIN for _, _, reward in rows]
    page = Image.new("RGB", (width, 70 + sum(heights)), "white")
    draw = ImageDraw.Draw(page)
    draw.text((_MARGIN, 18), f"\u201c{instruction}\u201d", fill=_INK, font=ImageFont.load_default(28))
    top = 70
    for (name, edited, reward), height in zip(rows, heights, strict=True):
        draw.line((0, top, width, top), fill=(225, 225, 230))
        for left, picture in ((_MARGIN, source), (2 * _MARGIN + _PICTURE, edited)):
            page.paste(_fitted(picture), (left, top + _MARGIN))
        _write_reward(draw, 3 * _MARGIN + 2 * _PICTURE, top + _MARGIN, name, reward)
        top += height
    return page


def _write_reward(draw: ImageDraw.ImageDraw, left: int, top: int, name: str, reward: Reward) -> None:
    score = f"not scored ({reward.outcome.value})" if reward.score is None else f"{reward.score:g} of 10"
    draw.text((left, top), f"{name}: {score}", fill=_INK, font=ImageFont.load_default(24))
    font = ImageFont.load_default(16)
    top += 40
    for verdict in reward.verdicts:
        why = verdict.rationale or ("" if verdict.probability is None else f"P(yes) {verdict.probability:.2f}")
        colour = _GOOD if verdict.passed else _BAD
        draw.text((left, top), "yes" if verdict.passed else "no", fill=colour, font=font)
        draw.text((left + 40, top), verdict.principle.question, fill=_INK, font=font)
        asked = draw.textlength(verdict.principle.question, font=font)
        room = int((_TEXT_WIDTH - 50 - asked) / 8)
        if why and room > 8:
            draw.text((left + 50 + asked, top), wrap(why, room)[0], fill=_MUTED, font=font)
        top += _LINE


def _fitted(content: bytes) -> Image.Image:
    """An image scaled into a square of `_PICTURE` pixels; small ones are enlarged without smoothing."""
    with Image.open(BytesIO(content)) as opened:
        image = opened.convert("RGB")
    scale = _PICTURE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    resampling = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    canvas = Image.new("RGB", (_PICTURE, _PICTURE), (240, 240, 243))
    canvas.paste(image.resize(size, resampling), ((_PICTURE - size[0]) // 2, (_PICTURE - size[1]) // 2))
    return canvas
