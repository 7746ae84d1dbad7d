"""Cells of a table as the judge can have them: images by content or path, whatever column type they came in."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter, ValidationError

from edit_rrm.principles import Instruction
from edit_rrm.verdicts import ErrorDetail, Outcome, Reward
from edit_rrm_client.bulk.columns import Columns, is_binary, is_text

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

_INSTRUCTION: TypeAdapter[str] = TypeAdapter(Instruction)


def canonical(table: pa.Table, columns: Columns, folder: Path) -> pa.Table:
    """A table with the columns ``instruction``, ``source``, ``edited``, those that are kept, and ``row`` if it has one.

    Args:
        table: As read.
        columns: Names in it.
        folder: What paths are relative to.

    Returns:
        Images as `IMAGE`; those that are to be kept besides keep their type. Kept columns are named ``keep.NAME``.
    """
    found = {
        "instruction": table[columns.instruction].cast(pa.string()),
        "source": _images(table[columns.source], folder),
        "edited": _images(table[columns.edited], folder),
        **{f"keep.{name}": table[name] for name in columns.keep},
    }
    if "row" in table.column_names:
        found["row"] = table["row"]
    return pa.table(found)


def _images(column: pa.ChunkedArray, folder: Path) -> pa.ChunkedArray:
    chunks = [_image_chunk(chunk, folder) for chunk in column.chunks]
    return pa.chunked_array(chunks, IMAGE)


def _image_chunk(chunk: pa.Array, folder: Path) -> pa.Array:
    kind = chunk.type
    if is_binary(kind):
        content, paths = chunk.cast(pa.binary()), pa.nulls(len(chunk), pa.string())
    elif is_text(kind):
        content, paths = pa.nulls(len(chunk), pa.binary()), chunk
    else:
        content = pc.struct_field(chunk, "bytes").cast(pa.binary())
        named = "path" in {field.name for field in kind}
        # Beside the content a path is only where it once came from.
        paths = pc.if_else(content.is_valid(), None, pc.struct_field(chunk, "path")) if named else None
        paths = pa.nulls(len(chunk), pa.string()) if paths is None else paths
    full = [None if path is None else str(folder / path) for path in paths.to_pylist()]
    return pa.StructArray.from_arrays([content, pa.array(full, pa.string())], fields=list(IMAGE))


class Images:
    """Contents of a window's images; each file is read once."""

    def __init__(self) -> None:
        self._read = cache(_read)

    def load(self, cell: dict[str, Any] | None, name: str) -> bytes | Reward:
        """An image's content, or what became of its row.

        Args:
            cell: Of type `IMAGE`.
            name: ``source`` or ``edited``, for the error.
        """
        content, path = (None, None) if cell is None else (cell["bytes"], cell["path"])
        if content is None and path is not None:
            content = self._read(path)
            if isinstance(content, str):
                return unscored(Outcome.BAD_IMAGE, "unreadable_image", content, name)
        if not content:
            return unscored(Outcome.BAD_IMAGE, "no_image", f"the row has no image in its {name!r} column", name)
        return bytes(content)


def _read(path: str) -> bytes | str:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        return f"{path} cannot be read: {error.strerror or error}"
    except ValueError as error:  # a zero byte in it
        return f"{path!r} cannot be read: {error}"


def checked_instruction(text: str | None) -> str | Reward:
    """An instruction that the service takes, or what became of its row."""
    try:
        return _INSTRUCTION.validate_python(text)
    except ValidationError as error:
        reason = "is missing" if text is None else error.errors(include_url=False)[0]["msg"]
        return unscored(Outcome.REFUSED, "bad_instruction", f"the row's instruction: {reason}", "instruction")


def unscored(outcome: Outcome, code: str, message: str, param: str) -> Reward:
    """A row that was not sent, and why."""
    return Reward(outcome=outcome, error=ErrorDetail(code=code, message=message, param=param))
