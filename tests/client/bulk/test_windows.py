"""Windows are bounded, keep order, and cut between groups where they can."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from edit_rrm_client.bulk.cells import IMAGE
from edit_rrm_client.bulk.windows import windows


def batch(groups: list[int], first: int, size: int = 1) -> pa.Table:
    image = {"bytes": b"x" * size, "path": None}
    return pa.table(
        {
            "instruction": [f"{group}" for group in groups],
            "source": pa.array([image] * len(groups), IMAGE),
            "edited": pa.array([image] * len(groups), IMAGE),
            "row": range(first, first + len(groups)),
        }
    )


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(1, 12), st.integers(1, 12))
def test_every_row_once_in_order_and_groups_whole_where_they_fit(groups: list[int], rows: int, step: int) -> None:
    step = min(step, rows)
    stream = (batch(groups[begin : begin + step], begin) for begin in range(0, len(groups), step))
    found = list(windows(stream, rows=rows))
    assert [row for window in found for row in window["row"].to_pylist()] == list(range(len(groups)))
    assert all(0 < window.num_rows <= rows for window in found)
    for before, after in pairwise(found):
        end = after["row"][0].as_py()
        if groups[end - 1] == groups[end]:
            # Only a group that alone was too many for the window was cut.
            assert len(set(before["instruction"].to_pylist())) == 1
            assert before.num_rows > rows - step


def test_images_bound_a_window_too(tmp_path: Path) -> None:
    stream = [batch([group], group, size=100) for group in range(10)]
    assert [window.num_rows for window in windows(stream, rows=100, max_bytes=600)] == [3, 3, 3, 1]
    # Files count as what they are on the disk; those that are not there, as nothing.
    (tmp_path / "large").write_bytes(b"x" * 300)
    paths = [{"bytes": None, "path": str(tmp_path / name)} for name in ("large", "missing")]
    named = [one.set_column(1, "source", pa.array([paths[0]], IMAGE)) for one in stream]
    named = [one.set_column(2, "edited", pa.array([paths[1]], IMAGE)) for one in named]
    assert [window.num_rows for window in windows(named, rows=100, max_bytes=600)] == [2, 2, 2, 2, 2]
