"""A local copy of a dataset: its rows on demand, images undecoded. Arrow, Parquet and JSON Lines; files or folders."""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]

_ROW_GROUPS_KEPT = 2
"""Row groups of Parquet files in memory at a time: groups of pairs are asked in the order of their rows, so the current
one and the next are what is needed. With images inside, one of 100 rows is some 200 MB."""


class DataError(Exception):
    """The data are not there, or not of the format they were said to be."""


class Part(ABC):
    """One file of a dataset."""

    def __init__(self, file: Path) -> None:
        self.file = file

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""

    @abstractmethod
    def __len__(self) -> int:
        """How many rows there are."""

    @abstractmethod
    def row(self, index: int) -> Row:
        """One row. Safe to call from several threads."""


class ArrowPart(Part):
    """What `datasets.save_to_disk` writes: an Arrow stream, mapped into memory rather than read."""

    def __init__(self, file: Path) -> None:
        import pyarrow as pa

        super().__init__(file)
        try:
            self._table = pa.ipc.open_stream(pa.memory_map(str(file))).read_all()
        except pa.ArrowInvalid as error:
            raise DataError(f"{file} is no Arrow stream as datasets.save_to_disk writes it ({error})") from None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self._table.column_names)

    def __len__(self) -> int:
        """How many rows there are."""
        return int(self._table.num_rows)

    def row(self, index: int) -> Row:
        """One row."""
        return dict(self._table.slice(index, 1).to_pylist()[0])


class ParquetPart(Part):
    """A Parquet file, read a row group at a time."""

    def __init__(self, file: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        super().__init__(file)
        try:
            self._file = pq.ParquetFile(file)
        except pa.ArrowInvalid as error:
            raise DataError(f"{file} is no Parquet file ({error}); was it downloaded to the end?") from None
        metadata = self._file.metadata
        self._starts = [0]
        for group in range(metadata.num_row_groups):
            self._starts.append(self._starts[-1] + metadata.row_group(group).num_rows)
        self._read: OrderedDict[int, Any] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self._file.schema_arrow.names)

    def __len__(self) -> int:
        """How many rows there are."""
        return self._starts[-1]

    def row(self, index: int) -> Row:
        """One row."""
        group = next(number for number, start in enumerate(self._starts[1:]) if index < start)
        with self._lock:
            if group not in self._read:
                self._read[group] = self._group(group)
                if len(self._read) > _ROW_GROUPS_KEPT:
                    self._read.popitem(last=False)
            self._read.move_to_end(group)
            table = self._read[group]
        return dict(table.slice(index - self._starts[group], 1).to_pylist()[0])

    def _group(self, group: int) -> Any:
        import pyarrow as pa

        try:
            return self._file.read_row_group(group)
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{self.file} is damaged ({error}); download it again") from None


class JsonLinesPart(Part):
    """A JSON Lines file; images are files beside it."""

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self._rows: list[dict[str, Any]] = []
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{file}, line {number} is not JSON: {error}") from None
            if not isinstance(row, dict):
                raise DataError(f"{file}, line {number} is JSON but no object with columns")
            self._rows.append(row)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns: of all rows, because JSON may leave out what is null."""
        return tuple(dict.fromkeys(name for row in self._rows for name in row))

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self._rows)

    def row(self, index: int) -> Row:
        """One row."""
        return self._rows[index]


_PARTS: Mapping[str, type[Part]] = {".arrow": ArrowPart, ".parquet": ParquetPart, ".jsonl": JsonLinesPart}


class Table:
    """The rows of a dataset, in the order of its files' names."""

    def __init__(self, path: Path, needed: Sequence[Sequence[str]], limit: int | None = None) -> None:
        """Open files and check their columns.

        Args:
            path: A file, or a folder that is searched for files of one kind.
            needed: For every column that has to be there, the names it may have.
            limit: Take no more rows than this.

        Raises:
            DataError: Nothing to read there, or columns are missing.
        """
        self.parts = [_PARTS[file.suffix](file) for file in _files(path)]
        for part in self.parts:
            _check_columns(part, needed)
        rows = sum(len(part) for part in self.parts)
        self._length = rows if limit is None else min(rows, limit)
        if self._length == 0:
            raise DataError(f"{path} has no rows")

    def __len__(self) -> int:
        """How many rows there are to read."""
        return self._length

    def __iter__(self) -> Iterator[tuple[Part, int]]:
        """Where every row is: the part, and the index in it."""
        left = self._length
        for part in self.parts:
            for index in range(min(left, len(part))):
                yield part, index
            left -= min(left, len(part))


def column(row: Row, names: Sequence[str]) -> Any:
    """A cell by the first of its names that the row has; None where it has none."""
    return next((row[name] for name in names if name in row), None)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        if path.suffix not in _PARTS:
            raise DataError(f"{path} ends in none of {', '.join(_PARTS)}")
        return [path]
    if not path.is_dir():
        raise DataError(f"{path} is not there; docs/evaluation.md says how to download each benchmark")
    found: dict[str, list[Path]] = {}
    for file in sorted(path.rglob("*")):
        # `hf download` keeps notes in a hidden folder; `datasets` keeps caches beside the data.
        hidden = any(name.startswith(".") for name in file.relative_to(path).parts)
        if file.suffix in _PARTS and not hidden and not file.name.startswith("cache-"):
            found.setdefault(file.suffix, []).append(file)
    if not found:
        raise DataError(f"{path} holds no file that ends in {', '.join(_PARTS)}")
    if len(found) > 1:
        raise DataError(f"{path} holds files of several kinds ({', '.join(sorted(found))}); name one file or folder")
    return next(iter(found.values()))


def _check_columns(part: Part, needed: Sequence[Sequence[str]]) -> None:
    if len(part) == 0:
        return
    missing = [" or ".join(names) for names in needed if not set(names) & set(part.columns)]
    if missing:
        raise DataError(f"{part.file} has no column {', '.join(missing)}; it has {', '.join(part.columns)}")
