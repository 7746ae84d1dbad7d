"""Parquet files of edits, read a few rows at a time however large their row groups are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from edit_rrm_client.bulk.cells import canonical
from edit_rrm_client.bulk.columns import Columns
from edit_rrm_client.bulk.errors import BulkError

Flags = npt.NDArray[np.bool_]

_BATCH_ROWS = 16
_BUFFER = 1 << 20
"""Bytes read ahead of each column; without it whole column chunks are read, of any size."""
_TAIL = 1 << 20


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file of the input."""

    path: Path
    rows: int
    first: int
    """Position of its first row in the whole input."""
    groups: tuple[int, ...]
    """Rows of its row groups."""


@dataclass(frozen=True)
class Input:
    """A Parquet file, or all of a folder in the order of their names; rows are counted through."""

    files: tuple[InputFile, ...]
    columns: Columns
    kept: pa.Schema
    """Of the columns that are carried over."""

    @classmethod
    def open(cls, path: Path, columns: Columns) -> Input:
        """Look at a file, or a folder's, and check every schema.

        Raises:
            BulkError: There is nothing to read, a file is no Parquet, or columns are missing or differ between files.
        """
        paths = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
        if not paths:
            raise BulkError(f"there is no *.parquet file in the folder {path}", code="bad_input")
        files: list[InputFile] = []
        kept: pa.Schema | None = None
        first = 0
        for one in paths:
            try:
                metadata = pq.read_metadata(one)
                schema = metadata.schema.to_arrow_schema()
            except (OSError, pa.ArrowException) as error:
                raise BulkError(f"{one} cannot be read as Parquet: {error}", code="bad_input") from error
            columns.check(schema, str(one))
            mine = pa.schema([schema.field(name).with_metadata(None) for name in columns.keep])
            if kept is not None and mine != kept:
                raise BulkError(
                    f"the kept columns of {one} are not of the types that {paths[0]} has", code="bad_column"
                )
            kept = mine
            groups = tuple(metadata.row_group(index).num_rows for index in range(metadata.num_row_groups))
            files.append(InputFile(one, metadata.num_rows, first, groups))
            first += metadata.num_rows
        assert kept is not None, "there is at least one file"
        return cls(tuple(files), columns, kept)

    @property
    def rows(self) -> int:
        """Of all files."""
        return sum(one.rows for one in self.files)

    def facts(self) -> list[dict[str, Any]]:
        """What tells these files from others: names, rows, sizes, and a digest of each one's end.

        The end is where Parquet keeps its footer, with the place and statistics of every column of every row group.
        """
        return [
            {"name": one.path.name, "rows": one.rows, "bytes": one.path.stat().st_size, "digest": _digest(one.path)}
            for one in self.files
        ]

    def tables(self, pending: Flags, batch_rows: int = _BATCH_ROWS) -> Iterator[pa.Table]:
        """Rows in canonical form with their ``row``, a few at a time.

        Args:
            pending: Which rows to give, shape (rows,). Row groups without any are not read.
            batch_rows: Most rows of a table.
        """
        for one in self.files:
            first = one.first
            for group, rows in enumerate(one.groups):
                wanted = pending[first : first + rows]
                if wanted.any():
                    yield from read_rows(one.path, group, first, wanted, self.columns, batch_rows)
                first += rows


def read_rows(
    path: Path, group: int, first: int, wanted: Flags, columns: Columns, batch_rows: int = _BATCH_ROWS
) -> Iterator[pa.Table]:
    """Rows of one row group in canonical form.

    Args:
        path: The file.
        group: Number of the row group.
        first: Position of its first row in the whole input.
        wanted: Which of its rows to give.
        columns: To read.
        batch_rows: Most rows of a table.
    """
    with pq.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False) as file:
        begin = 0
        stop = int(np.flatnonzero(wanted)[-1]) + 1
        for batch in file.iter_batches(batch_rows, row_groups=[group], columns=list(columns.needed)):
            flags = wanted[begin : begin + len(batch)]
            if flags.any():
                table = pa.Table.from_batches([batch])
                table = table.append_column("row", pa.array(np.arange(first + begin, first + begin + len(batch))))
                yield canonical(table.filter(pa.array(flags)), columns, path.parent)
            begin += len(batch)
            if begin >= stop:
                return


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL))
        return hashlib.sha256(file.read()).hexdigest()
