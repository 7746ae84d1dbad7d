"""What a run has measured so far: parts in a folder beside the output, each whole or not there."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from edit_rrm_client.bulk.errors import BulkError
from edit_rrm_client.durable import settle

_RECORD = "run.json"
_LOCK = "lock"
FACTS_KEY = b"edit_rrm.run"
"""Under which the output's schema says what was asked."""


class RunFolder:
    """Where the parts of an output are until all are there."""

    def __init__(self, output: Path) -> None:
        """The run folder of an output; nothing is looked at yet."""
        self.path = output.with_name(output.name + ".run")
        self._output = output
        self._next: int | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes out; a killed one keeps nobody out.

        Raises:
            BulkError: Another process is at it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / _LOCK).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BulkError(f"another process is writing {self._output}; wait for it", code="in_use") from None
            yield

    def clear(self) -> None:
        """Forget what was measured, the output included."""
        for path in (self._output, *self.path.iterdir()):
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != _LOCK:
                path.unlink(missing_ok=True)

    def claim(self, facts: Mapping[str, Any]) -> None:
        """Say whose run this is.

        Raises:
            BulkError: The folder, or the output, is of a run that was asked something else.
        """
        told: dict[str, Any] = json.loads(json.dumps(dict(facts)))
        for before in (self._record(), self._facts_of_output()):
            if before is not None and before != told:
                raise BulkError(
                    f"{self._output} holds another run: {_differences(before, told)}. Choose another --output, ask as "
                    "before, or start anew with --fresh, which deletes what was measured",
                    code="another_run",
                )
        replace(self.path / _RECORD, json.dumps(told, indent=2).encode())

    def parts(self) -> list[Path]:
        """Parts in the order they were written; of a row that is in several, the last one counts."""
        return sorted(self.path.glob("part-*.parquet"))

    def commit(self, table: pa.Table) -> None:
        """Write a part; it is on the disk when this returns."""
        if self._next is None:
            last = self.parts()[-1:]
            self._next = int(last[0].stem.partition("-")[2]) + 1 if last else 0
        path = self.path / f"part-{self._next:09d}.parquet"
        unfinished = path.with_suffix(".partial")
        pq.write_table(table, unfinished, compression="zstd")
        settle(unfinished, path)
        self._next += 1

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _record(self) -> dict[str, Any] | None:
        path = self.path / _RECORD
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def _facts_of_output(self) -> dict[str, Any] | None:
        if self._output.is_dir():
            # Ray's: the record of the run is all there is, and has to be.
            if any(self._output.iterdir()) and self._record() is None:
                raise self._a_stranger()
            return None
        if not self._output.exists():
            return None
        try:
            metadata = pq.read_schema(self._output).metadata or {}
            facts: dict[str, Any] = json.loads(metadata[FACTS_KEY])
        except (OSError, pa.ArrowException, KeyError) as error:
            raise self._a_stranger() from error
        return facts

    def _a_stranger(self) -> BulkError:
        return BulkError(
            f"{self._output} is there and was not written by this command; choose another --output, or delete it",
            code="another_run",
        )


def replace(path: Path, content: bytes) -> None:
    """Write a file so that it is whole or as before, whatever happens."""
    unfinished = path.with_name(path.name + ".partial")
    unfinished.write_bytes(content)
    settle(unfinished, path)


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return "; ".join(f"{name} was {_short(before.get(name))} and is {_short(after.get(name))}" for name in names)


def _short(value: Any) -> str:
    if isinstance(value, list):
        files = [f"{one['name']} ({one['rows']} rows, {one['digest'][:8]})" for one in value[:3]]
        return ", ".join(files) + (f" and {len(value) - 3} more" if len(value) > 3 else "")
    return "the default" if value is None else str(value)
