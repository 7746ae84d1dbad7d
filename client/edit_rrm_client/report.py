"""Draws judgements as a picture: source | edited | verdicts, one row per edit."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from io import BytesIO

from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

from edit_rrm.verdicts import Reward

_PICTURE = 300
_MARGIN = 20
_TEXT_WIDTH = 640
_LINE = 24
_SIZE = 16
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
    _write_line(draw, (_MARGIN, 18), f"\u201c{_one_line(instruction)}\u201d", width - 2 * _MARGIN, 28)
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
    _write_line(draw, (left, top), _one_line(f"{name}: {score}"), _TEXT_WIDTH, 24)
    top += 40
    if reward.error is not None:
        _write_line(draw, (left, top), _one_line(reward.error.message), _TEXT_WIDTH, _SIZE, _BAD)
        top += _LINE
    for verdict in reward.verdicts:
        why = verdict.rationale or ("" if verdict.probability is None else f"P(yes) {verdict.probability:.2f}")
        colour = _GOOD if verdict.passed else _BAD
        _write_line(draw, (left, top), "yes" if verdict.passed else "no", 40, _SIZE, colour)
        question = _one_line(verdict.principle.question)
        asked = 50 + _write_line(draw, (left + 40, top), question, _TEXT_WIDTH - 40, _SIZE)
        _write_line(draw, (left + asked, top), _one_line(why), _TEXT_WIDTH - asked, _SIZE, _MUTED)
        top += _LINE


def _write_line(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    line: str,
    room: float,
    size: int,
    colour: tuple[int, int, int] = _INK,
) -> float:
    """Write one line, shortened with an ellipsis to `room` pixels, and return its length in pixels."""
    font = ImageFont.load_default(size)
    shown, length = line, draw.textlength(line, font=font)
    if length > room:
        kept = (
            bisect_right(range(len(line)), room, key=lambda count: draw.textlength(line[:count] + "\u2026", font=font))
            - 1
        )
        if kept < 1:
            return 0.0
        shown = line[:kept].rstrip() + "\u2026"
        length = draw.textlength(shown, font=font)
    draw.text(at, shown, fill=colour, font=font)
    return length


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _fitted(content: bytes) -> Image.Image:
    """An image scaled into a square of `_PICTURE` pixels; small ones are enlarged without smoothing.

    What is no image (an edit may be unscored for just that) becomes an empty square.
    """
    canvas = Image.new("RGB", (_PICTURE, _PICTURE), (240, 240, 243))
    try:
        with Image.open(BytesIO(content)) as opened:
            image = opened.convert("RGB")
    except (UnidentifiedImageError, OSError):
        return canvas
    scale = _PICTURE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    resampling = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    canvas.paste(image.resize(size, resampling), ((_PICTURE - size[0]) // 2, (_PICTURE - size[1]) // 2))
    return canvas
