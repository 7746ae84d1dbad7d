"""Predicted work: prefixes once, decoding dear, never nothing, and near what a judge turns out to write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edit_rrm.card import ImageBudget, JudgeCard
from edit_rrm.verdicts import Mode
from edit_rrm_service.images import image_pixels
from edit_rrm_service.work import DECODE_WEIGHT, WorkModel
from tests.service.running import png

CARD = JudgeCard(name="fake judge")
QUESTIONS = ("Is the star blue?", "Is the rest as it was?")


def test_a_group_brings_its_prefix_once() -> None:
    work = WorkModel(CARD).predict("make the star blue", None, Mode.THINK)
    assert work.first > work.more > 0
    assert work.total(1) == work.decompose + work.first
    assert work.total(24) - work.total(23) == work.more
    assert work.total(24) < 24 * work.total(1) / 2


def test_principles_that_come_along_need_no_decomposition() -> None:
    assert WorkModel(CARD).predict("make the star blue", QUESTIONS, Mode.THINK).decompose == 0


def test_probes_are_less_work_than_thinking_and_samples_more() -> None:
    model = WorkModel(CARD)
    probed, thought = (model.predict("x", QUESTIONS, mode).more for mode in (Mode.PROBE, Mode.THINK))
    assert probed < thought < model.predict("x", QUESTIONS, Mode.THINK, samples=4).more


def test_images_count_as_the_judge_will_see_them() -> None:
    model = WorkModel(JudgeCard(name="small", image=ImageBudget(min_pixels=3_136, max_pixels=78_400)))
    assert [model.image_tokens(pixels) for pixels in (1, 3_136, 7_840, 10**8, None)] == [4, 4, 10, 100, 100]


def test_predictions_follow_what_is_written() -> None:
    model = WorkModel(CARD)
    for _ in range(200):
        model.answered("think", 50)
        model.answered("decompose", 40)
    work = model.predict("x", QUESTIONS, Mode.THINK, pixels=0)
    assert work.more == pytest.approx(4 + DECODE_WEIGHT * 50, abs=4)
    assert WorkModel(CARD).predict("x", None, Mode.THINK).decompose > model.predict("x", None, Mode.THINK).decompose


@given(
    st.text(max_size=4_000),
    st.none() | st.lists(st.text(min_size=1, max_size=300), min_size=1, max_size=32),
    st.sampled_from(Mode),
    st.integers(1, 16),
    st.none() | st.integers(0, 2**40),
    st.integers(1, 128),
)
def test_every_request_is_some_work(
    instruction: str, principles: list[str] | None, mode: Mode, samples: int, pixels: int | None, edits: int
) -> None:
    work = WorkModel(CARD).predict(instruction, principles, mode, samples=samples, pixels=pixels)
    assert min(work.first, work.more) >= 1
    assert work.total(edits) >= edits
    assert (work.decompose == 0) is (principles is not None)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "PPM"])
def test_a_file_tells_its_pixels_unopened(kind: str) -> None:
    assert image_pixels(png(size=(96, 64), kind=kind)) == 96 * 64


@given(st.binary(max_size=64))
def test_any_bytes_have_a_size_or_none(data: bytes) -> None:
    for head in (b"", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBPVP8 ", b"\xff\xd8\xff", b"P6 9 "):
        pixels = image_pixels(head + data)
        assert pixels is None or pixels >= 0
