"""Φ takes time linear in the text, whatever the text."""

from __future__ import annotations

import time

import pytest

from edit_rrm.grammar import parse_judgement, parse_principles
from tests.edit_rrm.principles import principles

SMALL, LARGE = 12_000, 192_000
_GROWTH = 4 * LARGE / SMALL
"""Quadratic time would grow 256-fold; linear grows 16-fold, and a busy machine is granted four times that."""

HOSTILE = (
    "<score>", "<score>1", "<score>   ", "</score>", "verdicts:", "verdicts: 1 ", "verdicts:\n", "[", "[{", '[{"',
    "[ ", '[{"question": "a", "score": 1},', "1. ", "1" * 50 + ".", "9" * 100, "\n", " \n", "\t ", "follow:",
    "follow: \n", "{", '"\\',
)  # fmt: skip


def seconds(text: str) -> float:
    """The fastest of three readings."""
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        parse_judgement(text, principles(3))
        parse_principles(text)
        best = min(best, time.process_time() - began)
    return best


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_text_is_read_in_linear_time(piece: str) -> None:
    small, large = (seconds((piece * size)[:size]) for size in (SMALL, LARGE))
    assert large < max(_GROWTH * small, 0.15), f"{small * 1e3:.2f} ms grew to {large * 1e3:.2f} ms"
