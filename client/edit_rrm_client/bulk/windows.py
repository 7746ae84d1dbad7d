"""A stream of rows cut into windows: bounded in rows and bytes, and between groups where that is possible. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

MAX_BYTES = 128 * 2**20
"""Of images in a window, unless a single row has more."""


def windows(tables: Iterable[pa.Table], *, rows: int, max_bytes: int = MAX_BYTES) -> Iterator[pa.Table]:
    """Cut a stream into windows, in order.

    Adjacent rows of one instruction and source stay in one window, unless they alone are too many for it.

    Args:
        tables: In canonical form, each of `rows` rows at most.
        rows: Most rows of a window.
        max_bytes: Most bytes of images in a window of more than one piece.
    """
    held: list[tuple[pa.Table, int]] = []
    begun = 0  # where in `held` the group that is being read begins
    count = total = 0
    last: Any = None
    for table in tables:
        for piece, key in _runs(table):
            if not held or key != last:
                begun, last = len(held), key
            size = _bytes_of(piece)
            while held and (count + piece.num_rows > rows or total + size > max_bytes):
                cut = begun or len(held)
                yield pa.concat_tables(one for one, _ in held[:cut])
                held, begun = held[cut:], 0
                count, total = sum(one.num_rows for one, _ in held), sum(weight for _, weight in held)
            held.append((piece, size))
            count, total = count + piece.num_rows, total + size
    if held:
        yield pa.concat_tables(one for one, _ in held)


def _runs(table: pa.Table) -> Iterator[tuple[pa.Table, Any]]:
    """Adjacent rows of one instruction and source, and what they have in common."""
    keys = list(zip(table["instruction"].to_pylist(), table["source"].to_pylist(), strict=True))
    begin = 0
    for place in range(1, len(keys) + 1):
        if place == len(keys) or keys[place] != keys[begin]:
            yield table.slice(begin, place - begin), keys[begin]
            begin = place


def _bytes_of(table: pa.Table) -> int:
    total = 0
    for name in ("source", "edited"):
        column = table[name]
        total += pc.sum(pc.binary_length(pc.struct_field(column, "bytes"))).as_py() or 0
        total += sum(_size(path) for path in pc.struct_field(column, "path").to_pylist() if path is not None)
    return total


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0  # which its row will be told
