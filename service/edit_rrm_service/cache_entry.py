"""Entries of a cache: what was measured, sealed with the key that it belongs to. Pure.

A store is shared and outlives processes. An entry that was cut, overwritten, copied to another key or written by
something else is told by its seal, and is no entry.
"""

from __future__ import annotations

import hashlib
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from edit_rrm.verdicts import Score, Verdict
from edit_rrm.wire import Principles

_MAGIC = b"edit-rrm 1\n"
_SEAL_BYTES = 32


class Record(BaseModel):
    """What an entry holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DecompositionRecord(Record):
    """Principles of an instruction."""

    principles: Principles


class VerificationRecord(Record):
    """Verdicts on one edit, before aggregation."""

    verdicts: tuple[Verdict, ...]
    reasoning: str | None = None
    scores: tuple[Score, ...] = ()
    """Scores the judge wrote, one per sample; empty for `probe`."""


RecordT = TypeVar("RecordT", bound=Record)


class BadEntryError(ValueError):
    """Bytes that are no entry of this key."""


def seal(key: str, record: Record) -> bytes:
    """The bytes of a record under a key."""
    payload = record.model_dump_json().encode()
    return _MAGIC + _sealed(key, payload) + payload


def unseal(key: str, data: bytes, kind: type[RecordT]) -> RecordT:
    """The record in an entry.

    Raises:
        BadEntryError: The bytes were not sealed under this key, or hold another kind of record.
    """
    start = len(_MAGIC) + _SEAL_BYTES
    payload = data[start:]
    if not data.startswith(_MAGIC) or data[len(_MAGIC) : start] != _sealed(key, payload):
        raise BadEntryError("the entry is damaged, or was not written for this key")
    try:
        return kind.model_validate_json(payload)
    except ValidationError as error:
        raise BadEntryError(f"the entry is no {kind.__name__}: {error.error_count()} problems") from None


def _sealed(key: str, payload: bytes) -> bytes:
    return hashlib.sha256(f"{len(key)}:{key}:".encode() + payload).digest()
