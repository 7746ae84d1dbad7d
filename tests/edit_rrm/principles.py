"""Principles and texts for the tests of this folder."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from edit_rrm.principles import Category, Principle

ORDER = tuple(Category)

FRAGMENTS = (
    "<score>", "</score>", "<\\score>", "7.5", "10", "-1", "1e9", "nan", "verdicts:", "verdicts: 1 0",
    "VERDICTS : 1, 0", "\n", " ", "1. fine: yes", "2) not: no", "[", "]", "{", "}", '"score": 1',
    '[{"question": "Q1", "score": 1}]', '{"average_score": 0.5}', "follow: Is it blue?", "keep:",
    "quality: Is it sharp?", "yes", "no", "\x00", "‹", "٣", "é",
)  # fmt: skip
"""Pieces of the grammar, and of what is nearly it."""

hostile = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=12)), max_size=40).map("".join)
"""Texts that come close to a judgement."""


def principles(count: int) -> list[Principle]:
    """Distinct principles over all categories."""
    return [Principle(question=f"Q{index + 1}", category=ORDER[index % 3]) for index in range(count)]


def long_form(questions: Sequence[str], passed: Sequence[bool], score: float, close: str = "</score>") -> str:
    """The method's own output form."""
    entries = ", ".join(
        f'{{"question": "{question}", "score": {int(verdict)}}}'
        for question, verdict in zip(questions, passed, strict=True)
    )
    average = sum(passed) / len(passed)
    return f'First I look.\n[{entries}]\n{{"average_score": {average}}}\n<score>{score}{close}'
