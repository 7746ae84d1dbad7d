"""The table of `make soak`: `python -m tests.soak.report FILE` prints it from the file that a run has left."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, TypeAdapter


class Row(BaseModel):
    """One thing that was done to a service."""

    fault: str
    seen: str
    """By the clients."""
    lost: str
    held: str
    """Of memory and handles, by the service's processes."""


_ROWS = TypeAdapter(list[Row])


def save(rows: Sequence[Row], path: Path) -> None:
    """Write rows as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_ROWS.dump_json(list(rows), indent=2) + b"\n")


def load(path: Path) -> list[Row]:
    """Read what `save` has written."""
    return _ROWS.validate_json(path.read_bytes())


def table(rows: Sequence[Row]) -> str:
    """Rows as a Markdown table."""
    head = ["| what was done | what the clients saw | what was lost | memory and handles |", "|---|---|---|---|"]
    return "\n".join([*head, *(f"| {row.fault} | {row.seen} | {row.lost} | {row.held} |" for row in rows)])


if __name__ == "__main__":
    print(table(load(Path(sys.argv[1]))))
