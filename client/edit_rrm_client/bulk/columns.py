"""Which columns of the input are what, checked before anything is scored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import pyarrow as pa

from edit_rrm_client.bulk.errors import BulkError

RESULT_COLUMNS = (
    "row",
    "score",
    "reward",
    "outcome",
    "error_code",
    "error_message",
    "verdicts",
    "reasoning",
    "identity",
    "request_id",
)
"""What the output has beside the columns that were kept, in this order."""

_ROLES = ("instruction", "source", "edited")


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns to read."""

    instruction: str = "instruction"
    """Strings of 1 to 4,000 characters."""
    source: str = "source"
    """Images: see `edited`."""
    edited: str = "edited"
    """Image files' content, structs of ``bytes`` and ``path``, or paths relative to the input file's folder."""
    keep: tuple[str, ...] = ()
    """Columns of any type, carried over to the output as they are."""

    @classmethod
    def parse(cls, assignments: str, keep: str = "") -> Self:
        """Columns as a command line names them.

        Args:
            assignments: Such as ``instruction=prompt,source=before,edited=after``; what is left out has its own name.
            keep: Names, separated by commas.

        Raises:
            BulkError: A role that there is not, or is named twice; or no column's name.
        """
        names: dict[str, str] = {}
        for one in filter(None, (part.strip() for part in assignments.split(","))):
            role, _, name = (part.strip() for part in one.partition("="))
            if role not in _ROLES or not name or role in names:
                raise BulkError(
                    f"{one!r} names no column; write instruction=NAME,source=NAME,edited=NAME, each at most once",
                    code="bad_column",
                )
            names[role] = name
        return cls(**names, keep=tuple(filter(None, (name.strip() for name in keep.split(",")))))

    @property
    def needed(self) -> tuple[str, ...]:
        """Every column to read, each once."""
        return tuple(dict.fromkeys((self.instruction, self.source, self.edited, *self.keep)))

    def check(self, schema: pa.Schema, where: str) -> None:
        """Return if a file can be scored.

        Args:
            schema: The file's.
            where: Its name, for the message.

        Raises:
            BulkError: A column is missing, of a type that is of no use, or would collide with one of the output's.
        """
        twice = [name for name in self.needed if schema.names.count(name) > 1]
        if twice:
            raise BulkError(f"{where} has several columns {twice[0]!r}; rename all but one", code="bad_column")
        missing = [name for name in self.needed if name not in schema.names]
        if missing:
            raise BulkError(
                f"{where} has no column {' and none '.join(map(repr, missing))}; there are "
                f"{', '.join(schema.names) or 'none at all'}. Name them with "
                "--columns instruction=NAME,source=NAME,edited=NAME and --keep NAME",
                code="missing_column",
            )
        for reason in self._reasons(schema):
            raise BulkError(f"{where}: {reason}", code="bad_column")

    def _reasons(self, schema: pa.Schema) -> Iterator[str]:
        kind = schema.field(self.instruction).type
        if not is_text(kind):
            yield f"the instructions in {self.instruction!r} are {kind}, and strings are wanted"
        for name in (self.source, self.edited):
            kind = schema.field(name).type
            if not (is_binary(kind) or is_text(kind) or is_image_struct(kind)):
                yield (
                    f"the images in {name!r} are {kind}; image files' content (binary), paths (string) or "
                    "struct<bytes, path> are wanted"
                )
        for name in self.keep:
            if name in RESULT_COLUMNS or self.keep.count(name) > 1:
                yield f"{name!r} cannot be kept: the output has a column of that name already"


def is_text(kind: pa.DataType) -> bool:
    """Whether values are strings."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_binary(kind: pa.DataType) -> bool:
    """Whether values are bytes."""
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def is_image_struct(kind: pa.DataType) -> bool:
    """Whether values are images as Hugging Face's ``datasets`` stores them."""
    if not pa.types.is_struct(kind):
        return False
    fields = {field.name: field.type for field in kind}
    return is_binary(fields.get("bytes", pa.null())) and is_text(fields.get("path", pa.string()))
