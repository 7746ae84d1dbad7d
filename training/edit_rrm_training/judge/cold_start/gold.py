"""Gold verdicts: what a verifier wrote -> verdicts with reasons, or a typed failure. Pure.

Strict on purpose: gold decides which reasoning a judge is trained on, so an answer that is nearly in the form asked for
is no answer. One fence of backticks around the whole is let pass; it adds nothing and takes nothing away.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from edit_rrm.grammar import MAX_TEXT_CHARS
from edit_rrm.principles import Principle
from edit_rrm.prompts import neutralise

_ENTRY = {"question", "gold", "reason"}


class GoldFailureKind(StrEnum):
    """Why a text holds no gold verdicts."""

    TOO_LONG = "too_long"
    NOT_JSON = "not_json"
    BAD_FORM = "bad_form"
    WRONG_LENGTH = "wrong_length"
    WRONG_ORDER = "wrong_order"
    BAD_VALUE = "bad_value"
    MISSING_REASON = "missing_reason"


@dataclass(frozen=True, slots=True)
class GoldFailure:
    """A text that could not be read, and why."""

    kind: GoldFailureKind
    message: str


@dataclass(frozen=True, slots=True)
class Gold:
    """The verdicts that stand, one per principle and in their order."""

    passed: tuple[bool, ...]
    reasons: tuple[str, ...]


def parse_gold(text: str, principles: Sequence[Principle]) -> Gold | GoldFailure:
    """Read ``{"gold": [{"question", "gold": 0 or 1, "reason"}, ...]}``.

    Args:
        text: What the verifier wrote, all of it.
        principles: What it was asked, in order; at least one.

    Returns:
        The gold verdicts, or the reason why there are none. Never raises on any text; time is linear in its length.
    """
    if len(text) > MAX_TEXT_CHARS:
        return GoldFailure(GoldFailureKind.TOO_LONG, f"the verifier wrote more than {MAX_TEXT_CHARS:,} characters")
    try:
        value = json.loads(_unfenced(text), object_pairs_hook=_once, parse_constant=_refused)
    except (ValueError, RecursionError):
        return GoldFailure(GoldFailureKind.NOT_JSON, "the verifier wrote something other than one JSON object")
    entries = value.get("gold") if isinstance(value, dict) and set(value) == {"gold"} else None
    if not isinstance(entries, list) or not all(isinstance(item, dict) and set(item) == _ENTRY for item in entries):
        message = 'the answer is not {"gold": [{"question", "gold", "reason"}, ...]}'
        return GoldFailure(GoldFailureKind.BAD_FORM, message)
    if len(entries) != len(principles):
        message = f"{len(entries)} gold verdicts for {len(principles)} principles"
        return GoldFailure(GoldFailureKind.WRONG_LENGTH, message)
    for index, (item, principle) in enumerate(zip(entries, principles, strict=True)):
        found = _failure(index, item, principle)
        if found is not None:
            return found
    return Gold(
        tuple(item["gold"] == 1 for item in entries), tuple(" ".join(item["reason"].split()) for item in entries)
    )


def format_gold(gold: Gold, principles: Sequence[Principle]) -> str:
    """Write gold verdicts, the inverse of `parse_gold`."""
    rows = [
        {"question": principle.question, "gold": int(passed), "reason": reason}
        for principle, passed, reason in zip(principles, gold.passed, gold.reasons, strict=True)
    ]
    return json.dumps({"gold": rows}, ensure_ascii=False)


def _failure(index: int, item: dict[str, Any], principle: Principle) -> GoldFailure | None:
    number, question, gold, reason = index + 1, item["question"], item["gold"], item["reason"]
    if not isinstance(question, str) or _normalised(question) != _normalised(principle.question):
        return GoldFailure(GoldFailureKind.WRONG_ORDER, f"entry {number} is not about principle {number}")
    # bool is an int in Python: `true` is not one of the two verdicts asked for, nor is 1.0.
    if type(gold) is not int or gold not in (0, 1):
        return GoldFailure(GoldFailureKind.BAD_VALUE, f"entry {number} needs a gold of 0 or 1")
    if not isinstance(reason, str) or not reason.strip():
        return GoldFailure(GoldFailureKind.MISSING_REASON, f"entry {number} has no reason")
    return None


def _unfenced(text: str) -> str:
    stripped = text.strip()
    first, separator, rest = stripped.partition("\n")
    if separator and first.strip() in ("```", "```json") and rest.endswith("```"):
        return rest.removesuffix("```")
    return stripped


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key is there twice")
    return made


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _normalised(question: str) -> str:
    # Questions reach the verifier neutralised, and come back so.
    return neutralise(question).casefold()
