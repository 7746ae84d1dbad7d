"""Φ takes time linear in the text, whatever the text."""

from __future__ import annotations

import pytest

from edit_rrm.grammar import parse_judgement, parse_principles
from tests.edit_rrm.principles import principles
from tests.linear_time import assert_linear

HOSTILE = (
    "<score>", "<score>1", "<score>   ", "</score>", "verdicts:", "verdicts: 1 ", "verdicts:\n", "[", "[{", '[{"',
    "[ ", '[{"question": "a", "score": 1},', "1. ", "1" * 50 + ".", "9" * 100, "\n", " \n", "\t ", "follow:",
    "follow: \n", "{", '"\\',
)  # fmt: skip


def read(text: str) -> None:
    parse_judgement(text, principles(3))
    parse_principles(text)


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_text_is_read_in_linear_time(piece: str) -> None:
    assert_linear(read, piece)
