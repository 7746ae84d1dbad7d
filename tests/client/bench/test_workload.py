"""What a load is made of."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edit_rrm.principles import Category
from edit_rrm_client.bench.workload import Workload, group, picture, prepared, principles

SMALL = Workload(group_size=3, side=32)


def pixels(data: object) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    assert isinstance(data, bytes)
    return np.asarray(Image.open(io.BytesIO(data)))


def test_a_group_is_made_from_its_number_alone() -> None:
    assert group(SMALL, 4) == group(SMALL, 4)
    assert group(SMALL, 4) == prepared(SMALL, 5)[4]
    assert group(SMALL, 4).source != group(SMALL, 3).source
    assert group(Workload(group_size=3, side=32, seed=1), 4).source != group(SMALL, 4).source


def test_no_two_edits_are_alike_and_each_keeps_most_of_its_source() -> None:
    groups = [group(SMALL, number) for number in range(4)]
    edits = [edit for one in groups for edit in one.edited]
    assert len(set(map(bytes, map(pixels, edits)))) == 12
    for one in groups:
        for edit in one.edited:
            changed = (pixels(edit) != pixels(one.source)).any(-1)
            assert 0 < changed.sum() <= 16


def test_repeated_sources_come_with_other_edits() -> None:
    loads = prepared(Workload(group_size=2, side=32, repeats=1.0), 6)
    assert len({one.source for one in loads}) == 1
    assert len({edit for one in loads for edit in one.edited}) == 12
    half = prepared(Workload(group_size=1, side=16, repeats=0.5), 200)
    assert 70 <= len({one.source for one in half}) <= 130


def test_principles_are_as_many_as_asked_for_all_different_and_of_all_categories() -> None:
    found = principles(12)
    assert len({one.question for one in found}) == 12
    assert {one.category for one in found} == set(Category)
    assert group(Workload(side=16, principles=5), 0).principles == principles(5)
    assert group(Workload(side=16), 0).principles is None


def test_pictures_have_the_grain_of_photographs() -> None:
    found = Image.fromarray(picture(256, 0))
    buffer = io.BytesIO()
    found.save(buffer, "PNG")
    assert 0.3 < len(buffer.getvalue()) / (256 * 256 * 3) < 0.9


@pytest.mark.parametrize("wrong", [{"group_size": 0}, {"side": 8}, {"repeats": 1.5}, {"principles": 0}])
def test_impossible_groups_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"at least|from 0 to 1"):
        Workload(**wrong)
