"""The picture of judgements: its size, and that nothing a judge says can break it."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edit_rrm.principles import Category, Principle
from edit_rrm.verdicts import Aggregation, ErrorDetail, Mode, Outcome, Reward, Verdict
from edit_rrm_client.report import draw_report

WIDTH = 1_320


def png(width: int = 8, height: int = 8, colour: str = "red") -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()


def scored(*verdicts: Verdict) -> Reward:
    return Reward(
        outcome=Outcome.SCORED,
        score=7.5,
        reward=0.75,
        average=1.0,
        aggregation=Aggregation.MODEL,
        mode=Mode.THINK,
        verdicts=verdicts or (verdict(),),
    )


def unscored(message: str = "the judge babbled") -> Reward:
    return Reward(outcome=Outcome.UNPARSABLE, error=ErrorDetail(code="unparsable", message=message))


def verdict(question: str = "Is the star blue?", rationale: str | None = "was red, is blue") -> Verdict:
    principle = Principle(question=question, category=Category.INSTRUCTION_FOLLOWING)
    return Verdict(principle=principle, passed=True, rationale=rationale)


def colours(image: Image.Image, box: tuple[int, int, int, int]) -> set[tuple[int, ...]]:
    return {tuple(pixel) for pixel in np.asarray(image.crop(box)).reshape(-1, 3).tolist()}


def test_one_row_per_edit_and_room_for_every_verdict() -> None:
    one = draw_report("make the star blue", png(), [("good", png(), scored())])
    assert (one.mode, one.width) == ("RGB", WIDTH)
    two = draw_report("make the star blue", png(), [("good", png(), scored())] * 2)
    assert two.height - one.height == one.height - draw_report("x", png(), []).height
    many = draw_report("x", png(), [("good", png(), scored(*[verdict()] * 32))])
    assert many.height > one.height + 300


def test_both_pictures_are_shown() -> None:
    page = draw_report("x", png(colour="red"), [("good", png(colour="blue"), scored())])
    assert (255, 0, 0) in colours(page, (20, 90, 320, 390))
    assert (0, 0, 255) in colours(page, (340, 90, 640, 390))


@pytest.mark.parametrize("size", [(1, 2_000), (2_000, 1), (20, 400), (1, 1)])
def test_extreme_shapes_fit_their_square(size: tuple[int, int]) -> None:
    page = draw_report("x", png(*size), [("long", png(*size), scored())])
    assert (255, 0, 0) in colours(page, (20, 90, 320, 390))
    assert (255, 0, 0) not in colours(page, (0, 0, 20, page.height)), "nothing is drawn into the margin"


def test_an_unscored_edit_says_so_even_where_its_image_cannot_be_read() -> None:
    reward = Reward(outcome=Outcome.BAD_IMAGE, error=ErrorDetail(code="bad_image", message="not an image"))
    page = draw_report("x", png(), [("broken", b"no image", reward), ("cut", png()[:40], unscored())])
    told = colours(page, (660, 90, WIDTH, 390))
    assert any(red > 150 and green < 100 for red, green, _ in told), "the reason is written in red"


def test_long_texts_stay_on_the_page() -> None:
    long = verdict("Is the star " + "very " * 90 + "blue?", "because " * 100)
    page = draw_report("make it blue " * 60, png(), [("name " * 60, png(), scored(long))])
    assert colours(page, (WIDTH - 15, 0, WIDTH, 60)) == {(255, 255, 255)}
    assert colours(page, (WIDTH - 15, 80, WIDTH, page.height)) == {(255, 255, 255)}


@settings(max_examples=40, deadline=None)
@given(st.text(min_size=1, max_size=200).filter(str.strip), st.none() | st.text(max_size=200), st.text(max_size=100))
def test_no_text_of_a_judge_breaks_the_picture(question: str, rationale: str | None, instruction: str) -> None:
    rows = [("a", png(), scored(verdict(question, rationale))), ("b", png(), unscored(question))]
    assert draw_report(instruction, png(), rows).width == WIDTH
