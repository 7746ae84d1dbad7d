"""Hard and random instructions, mixed: the method takes as many of the one as of the other."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from enum import StrEnum
from hashlib import sha256

HARD_WORDS = ("steps", "detail", "implied", "space")
"""What makes an instruction hard: several dependent changes, fine detail, meaning left unsaid, exact positions."""

_MAX_CHARS = 20_000


class Pool(StrEnum):
    """What a row was taken for."""

    RANDOM = "random"
    HARD = "hard"
    LEFT_OUT = "left_out"
    """Neither: its pool is full, or it is not hard where only hard ones are still wanted."""


class Quota:
    """Decides row by row, in the input's order, so that the same input gives the same mix."""

    def __init__(self, rows: int | None, hard: float, seed: int) -> None:
        """Set how many rows to take, all where None, and which share of them is to be hard.

        Raises:
            ValueError: A mix without a number of rows: there would be nothing to take a share of.
        """
        if rows is None and hard > 0.0:
            raise ValueError("a share of hard rows needs the number of rows")
        self._hard = 0 if rows is None else round(rows * hard)
        self._random = math.inf if rows is None else rows - self._hard
        self._share = hard
        self._seed = seed

    @property
    def full(self) -> bool:
        """Whether both pools are."""
        return self._random <= 0 and self._hard <= 0

    def wants_to_know(self, task: str) -> bool:
        """Whether it depends on its being hard what becomes of a row."""
        return self._hard > 0 and (self._random <= 0 or self._drawn_for_hard(task))

    def take(self, task: str, hard: bool | None) -> Pool:
        """Decide on a row and count it.

        Args:
            task: The row's task; all edits of one task are drawn for the same pool.
            hard: Whether it is hard; None where nobody asked, or no answer could be read.
        """
        if self.wants_to_know(task):
            if hard:
                self._hard -= 1
                return Pool.HARD
            return Pool.LEFT_OUT
        if self._random <= 0 or (self._drawn_for_hard(task) and self._hard > 0):
            return Pool.LEFT_OUT
        self._random -= 1
        return Pool.RANDOM

    def _drawn_for_hard(self, task: str) -> bool:
        digest = sha256(f"{self._seed}/{task}".encode()).digest()
        return int.from_bytes(digest[:7], "big") / 2**56 < self._share


def parse_triage(text: str) -> bool | None:
    """Read ``{"hard": true, "because": ["space"]}``; None where it is not that. Never raises."""
    stripped = text.strip().removeprefix("```json").removeprefix("```").removesuffix("```").strip()
    if len(stripped) > _MAX_CHARS:
        return None
    try:
        value = json.loads(stripped)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or set(value) != {"hard", "because"}:
        return None
    hard, because = value["hard"], value["because"]
    if not isinstance(hard, bool) or not isinstance(because, list) or any(word not in HARD_WORDS for word in because):
        return None
    # Hard for no reason, or easy for one, is an answer that contradicts itself.
    return hard if hard == bool(because) else None


def format_triage(because: Sequence[str]) -> str:
    """Write a triage, the inverse of `parse_triage`."""
    return json.dumps({"hard": bool(because), "because": list(because)})
