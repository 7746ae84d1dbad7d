"""What the readers of downloaded datasets share: rows one by one, and a bad row costs that row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from edit_rrm.principles import MAX_INSTRUCTION_CHARS
from edit_rrm_training.judge.pairs.pair import Pair, Picture, Reason, Rejected
from edit_rrm_training.judge.pairs.sources.pictures import PictureError, Pictures
from edit_rrm_training.judge.pairs.sources.table import Part, Table, column


class RowError(Exception):
    """A row that is no pair, for another reason than its images."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class DatasetRow:
    """One row, with its cells by whichever name the dataset gives them."""

    def __init__(self, part: Part, index: int, pictures: Pictures) -> None:
        self._part = part
        self._index = index
        self._pictures = pictures
        self._cells = part.row(index)
        self.where = f"row {index} of {part.file.name}"

    def cell(self, names: Sequence[str]) -> Any:
        """A cell as the dataset has it; None where there is none."""
        return column(self._cells, names)

    def text(self, names: Sequence[str]) -> str:
        """A cell as text without surrounding space; empty where there is none."""
        cell = self.cell(names)
        return "" if cell is None else str(cell).strip()

    def instruction(self, names: Sequence[str]) -> str:
        """The instruction.

        Raises:
            RowError: It is empty, or longer than the service takes.
        """
        text = self.text(names)
        if not 0 < len(text) <= MAX_INSTRUCTION_CHARS:
            raise RowError(Reason.BAD_INSTRUCTION, f"{len(text)} characters, allowed are 1 to {MAX_INSTRUCTION_CHARS}")
        return text

    def picture(self, names: Sequence[str], position: int | None = None) -> Picture:
        """An image, or the one at a position of a list of images.

        Raises:
            PictureError: There is none, or it cannot be read.
        """

        def pick(cell: Any) -> Any:
            if position is None:
                return cell
            return cell[position] if isinstance(cell, list) and position < len(cell) else None

        # The row is read again when the image is needed, so that no more than what is being asked is in memory.
        part, index = self._part, self._index
        return self._pictures.picture(
            pick(self.cell(names)), part.file.parent, lambda: pick(column(part.row(index), names))
        )


class DatasetSource(ABC):
    """A downloaded dataset of pairs."""

    needed: ClassVar[tuple[tuple[str, ...], ...]]
    """For every column that has to be there, the names it may have."""
    resize_edits: bool = False

    def __init__(self, path: Path, limit: int | None = None) -> None:
        """Open it.

        Raises:
            DataError: It is not there, or has not the columns.
        """
        self._table = Table(path, self.needed, limit)

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self._table)

    def rows(self) -> Iterator[Pair | Rejected]:
        """Every row, in order."""
        pictures = Pictures()
        for part, index in self._table:
            row = DatasetRow(part, index, pictures)
            try:
                yield self._pair(row)
            except (PictureError, RowError) as error:
                yield Rejected(row.where, error.reason, str(error))

    @abstractmethod
    def _pair(self, row: DatasetRow) -> Pair:
        """The pair of a row; raises `PictureError` or `RowError` where it is none."""
