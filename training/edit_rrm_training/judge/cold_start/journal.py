"""Journals: one JSON object a line, appended and never changed, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from edit_rrm_training.judge.cold_start.errors import ColdStartError


class Journal:
    """Records of one step, by their `id`.

    Only where each record starts is kept in memory (about 200 bytes a row); records are read again when asked for.
    """

    def __init__(self, path: Path) -> None:
        """Open a journal, or start one; half a last line, which a crash leaves, is dropped.

        Raises:
            ColdStartError: A line other than the last is damaged.
            OSError: The file cannot be read or written.
        """
        self.path = path
        self._offsets: dict[str, int] = {}
        self._file = path.open("a+b")
        try:
            self._end = self._scan()
            self._file.truncate(self._end)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        """Return the journal."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self._file.close()

    def __contains__(self, key: str) -> bool:
        return key in self._offsets

    def __len__(self) -> int:
        return len(self._offsets)

    def __iter__(self) -> Iterator[str]:
        return iter(self._offsets)

    def get(self, key: str) -> dict[str, Any] | None:
        """A record by its id, or None."""
        offset = self._offsets.get(key)
        if offset is None:
            return None
        self._file.seek(offset)
        record: dict[str, Any] = json.loads(self._file.readline())
        return record

    def records(self) -> Iterator[dict[str, Any]]:
        """All records in the order they were written."""
        for key in list(self._offsets):
            record = self.get(key)
            assert record is not None
            yield record

    def append(self, record: dict[str, Any]) -> None:
        """Add a record and hand it to the operating system; its `id` must be new.

        Raises:
            ColdStartError: The disk is full, or failed otherwise. What was written before is intact.
        """
        key = record["id"]
        assert key not in self._offsets
        line = json.dumps(record, ensure_ascii=False).encode() + b"\n"
        try:
            # Appending mode: wherever a read left the position, this goes to the end.
            self._file.write(line)
            self._file.flush()
        except OSError as error:
            self._abandon()
            raise ColdStartError(
                f"{self.path} cannot be written ({error.strerror or error}); what was finished is intact:"
                " make room and run the same command again"
            ) from None
        self._offsets[key] = self._end
        self._end += len(line)

    def sync(self) -> None:
        """Have the disk take everything."""
        os.fsync(self._file.fileno())

    def _abandon(self) -> None:
        """Drop a line that only half reached the disk, and with it the buffer that would be tried again on closing."""
        descriptor = os.dup(self._file.fileno())
        try:
            os.ftruncate(descriptor, self._end)
            self._file.close()
        except OSError:
            pass  # the buffered half cannot be written either; the next run drops what got through
        finally:
            os.close(descriptor)

    def _scan(self) -> int:
        """Index the records; returns where the last whole one ends."""
        self._file.seek(0)
        end = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            try:
                key = json.loads(line)["id"]
            except (ValueError, TypeError, KeyError):
                raise ColdStartError(
                    f"{self.path} is damaged at byte {end}; move it away to do this step again"
                ) from None
            self._offsets[str(key)] = end
            end += len(line)
        return end
