"""Principles as lines: what is written is read again, and what is no principle is said by its line."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edit_rrm.principles import MAX_PRINCIPLES, Category, Principle
from edit_rrm_service.ui.principle_lines import PrincipleLineError, principle_lines, read_principles

# Written on one line, a question has single spaces and no line breaks of any kind.
questions = st.text(min_size=1, max_size=200).map(lambda text: " ".join(text.split())).filter(bool)
principles = st.builds(Principle, question=questions, category=st.sampled_from(Category))


@given(st.lists(principles, min_size=1, max_size=MAX_PRINCIPLES))
def test_what_is_written_is_read_again(some: list[Principle]) -> None:
    assert read_principles(principle_lines(some)) == tuple(some)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    found: tuple[Principle, ...] | None = None
    with suppress(PrincipleLineError):
        found = read_principles(text)
    assert found is None or all(isinstance(one, Principle) for one in found)


def test_nothing_lets_the_judge_find_its_own() -> None:
    assert read_principles("") is None
    assert read_principles(" \n\n ") is None


def test_long_names_and_capitals_are_categories_too() -> None:
    assert read_principles("Keep: a?\nimage quality: b?\nINSTRUCTION_FOLLOWING: c?") == (
        Principle(question="a?", category=Category.FEATURE_PRESERVATION),
        Principle(question="b?", category=Category.IMAGE_QUALITY),
        Principle(question="c?", category=Category.INSTRUCTION_FOLLOWING),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("follow: a?\n\nIs it sharp?", "line 3 of the principles begins with none of follow, keep, quality"),
        ("nice: a?", "line 1"),
        ("keep:", "line 1 of the principles: String should have at least 1 character"),
        ("\n".join(["keep: a?"] * (MAX_PRINCIPLES + 1)), f"there are {MAX_PRINCIPLES + 1} principles; at most"),
    ],
)
def test_a_line_that_is_none_is_named(text: str, said: str) -> None:
    with pytest.raises(PrincipleLineError, match=said):
        read_principles(text)
