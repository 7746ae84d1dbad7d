"""Contact sheets show everything there is to say about a sample."""

from __future__ import annotations

from textwrap import wrap

import numpy as np
import pytest
from PIL import Image

from edit_rrm_training.shapes import SPLITS, make
from edit_rrm_training.shapes.sheet import contact_sheet
from edit_rrm_training.shapes.vocabulary import CANVAS

SCALE = 3
WHITE = (255, 255, 255)


def test_the_grid_has_as_many_cells_as_needed() -> None:
    one = contact_sheet([make("train", 0)])
    assert one.mode == "RGB"
    for count, columns, width, height in ((5, 2, 2, 3), (2, 4, 2, 1), (4, 1, 1, 4)):
        sheet = contact_sheet((make("train", index) for index in range(count)), columns)
        assert (sheet.width, sheet.height) == (width * one.width, height * one.height)


def test_an_empty_sheet_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([])


def test_both_pictures_are_shown_enlarged_without_smoothing() -> None:
    sample = make("train", 3)
    sheet = contact_sheet([sample])
    side = CANVAS * SCALE
    for left, pixels in ((8, sample.source_pixels()), (16 + side, sample.edited_pixels())):
        shown = sheet.crop((left, 8, left + side, 8 + side)).resize((CANVAS, CANVAS), Image.Resampling.NEAREST)
        assert np.array_equal(np.asarray(shown), pixels)


def test_no_sample_has_more_to_say_than_there_is_room_for() -> None:
    height = contact_sheet([make("train", 0)]).height
    room = (height - 16 - CANVAS * SCALE) // 17
    for split in SPLITS:
        for index in range(200):
            sample = make(split, index)
            assert len(wrap(sample.instruction, 62)) + 1 + len(sample.truth.findings) <= room, (split, index)


def test_text_stays_inside_its_card() -> None:
    """A line that ran on would be cut off by the next card, or by the edge of the sheet."""
    for index in range(60):
        sheet = contact_sheet([make("held-out", index)])
        edge = np.asarray(sheet)[CANVAS * SCALE + 12 :, -3:]
        assert (edge == WHITE).all(), index
