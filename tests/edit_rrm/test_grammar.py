"""Φ reads two forms, says why it cannot read the rest, never guesses and never raises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edit_rrm.grammar import (
    MAX_TEXT_CHARS,
    Failure,
    FailureKind,
    Judgement,
    format_judgement,
    format_principles,
    parse_judgement,
    parse_principles,
)
from edit_rrm.principles import MAX_PRINCIPLES, Category, Principle
from edit_rrm.verdicts import Outcome
from tests.edit_rrm.principles import hostile, long_form, principles

TWO = principles(2)


def judged(text: str, count: int = 2) -> Judgement:
    result = parse_judgement(text, principles(count))
    assert isinstance(result, Judgement), result
    return result


def failed(text: str, count: int = 2) -> FailureKind:
    result = parse_judgement(text, principles(count))
    assert isinstance(result, Failure), result
    return result.kind


def test_the_compact_form_is_read() -> None:
    text = "1. it was red and is blue: yes\n2. the star moved: no\nverdicts: 1 0\n<score>6.5</score>"
    result = judged(text)
    assert result.passed == (True, False)
    assert result.score == 6.5
    assert result.rationales == ("it was red and is blue", "the star moved")
    assert result.reasoning.startswith("1. it was red")
    assert "verdicts" not in result.reasoning


@pytest.mark.parametrize("close", ["</score>", "<\\score>"])
def test_the_methods_long_form_is_read_with_either_closing_tag(close: str) -> None:
    result = judged(long_form(["Q1", "Q2"], [True, False], 7, close))
    assert (result.passed, result.score) == ((True, False), 7.0)
    assert result.reasoning == "First I look."


def test_a_long_form_in_another_order_is_read_by_its_questions() -> None:
    assert judged(long_form(["Q2", "Q1"], [True, False], 5)).passed == (False, True)


def test_reworded_questions_are_read_in_the_order_asked() -> None:
    assert judged(long_form(["first?", "second?"], [False, True], 5)).passed == (False, True)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", FailureKind.MISSING_VERDICTS),
        ("It looks great, 10 out of 10!", FailureKind.MISSING_VERDICTS),
        ("<score>10</score>", FailureKind.MISSING_VERDICTS),
        ("verdicts: 1 0", FailureKind.MISSING_SCORE),
        ("<score>9</score>\nverdicts: 1 0", FailureKind.MISSING_SCORE),
        ("verdicts: 1 0\n<score>9", FailureKind.MISSING_SCORE),
        ("verdicts: 1 0\n<score></score>", FailureKind.MISSING_SCORE),
        ("verdicts: 1 0 1\n<score>9</score>", FailureKind.WRONG_VERDICT_COUNT),
        ("verdicts: 1\n<score>9</score>", FailureKind.WRONG_VERDICT_COUNT),
        ("verdicts:\n<score>9</score>", FailureKind.BAD_VERDICT),
        ("verdicts: yes no\n<score>9</score>", FailureKind.BAD_VERDICT),
        ("verdicts: 1 0.5\n<score>9</score>", FailureKind.BAD_VERDICT),
        ('[{"score": true}, {"score": 0}]\n<score>9</score>', FailureKind.BAD_VERDICT),
        ('[{"score": 2}, {"score": 0}]\n<score>9</score>', FailureKind.BAD_VERDICT),
        ("verdicts: 1 0\nverdicts: 1 1\n<score>9</score>", FailureKind.CONFLICTING_VERDICTS),
        ('verdicts: 1 0\n[{"score": 1}, {"score": 1}]\n<score>9</score>', FailureKind.CONFLICTING_VERDICTS),
        ("verdicts: 1 0\n<score>9</score> or <score>8</score>", FailureKind.CONFLICTING_SCORES),
        ("verdicts: 1 0\n<score>nine</score>", FailureKind.BAD_SCORE),
        ("verdicts: 1 0\n<score>nan</score>", FailureKind.BAD_SCORE),
        ("verdicts: 1 0\n<score>1e1</score>", FailureKind.BAD_SCORE),
        ("verdicts: 1 0\n<score>\u0669</score>", FailureKind.BAD_SCORE),
        ("verdicts: 1 0\n<score>10.1</score>", FailureKind.SCORE_OUT_OF_RANGE),
        ("verdicts: 1 0\n<score>-0.5</score>", FailureKind.SCORE_OUT_OF_RANGE),
        ("x" * (MAX_TEXT_CHARS + 1), FailureKind.TOO_LONG),
    ],
)
def test_what_is_no_judgement_is_a_typed_failure(text: str, kind: FailureKind) -> None:
    assert failed(text) is kind
    result = parse_judgement(text, TWO)
    assert isinstance(result, Failure)
    assert result.outcome is Outcome.UNPARSABLE
    assert result.message


def test_repeats_that_agree_are_read() -> None:
    assert judged("verdicts: 1 0\nverdicts: 1 0\n<score>4</score> <score>4.0</score>").score == 4.0


def test_a_cut_off_text_is_never_read_complete_as_it_may_look() -> None:
    result = parse_judgement("verdicts: 1 0\n<score>9</score>", TWO, truncated=True)
    assert isinstance(result, Failure)
    assert result.kind is FailureKind.TRUNCATED
    assert result.outcome is Outcome.TRUNCATED


@pytest.mark.parametrize("text", ["verdicts: 1 0\n<score>-0</score>", "verdicts: 1 0\n<score>0.0</score>"])
def test_zero_has_no_sign(text: str) -> None:
    assert str(judged(text).score) == "0.0"


def test_rationales_that_do_not_match_one_to_one_are_left_out() -> None:
    assert judged("1. only one: yes\nverdicts: 1 0\n<score>4</score>").rationales == (None, None)
    assert judged("2. b: yes\n1. a: no\nverdicts: 1 0\n<score>4</score>").rationales == (None, None)


words = st.text(st.characters(codec="utf-8", exclude_characters="\n\r<>[]{}"), min_size=1, max_size=40)


@given(
    st.lists(st.tuples(words, st.booleans()), min_size=1, max_size=MAX_PRINCIPLES),
    st.integers(0, 100).map(lambda tenths: tenths / 10),
)
def test_what_we_write_we_read_back(rows: list[tuple[str, bool]], score: float) -> None:
    passed = [verdict for _, verdict in rows]
    rationales = [f"it {word.split()[0] if word.split() else 'is'} there" for word, _ in rows]
    result = judged(format_judgement(rationales, passed, score), len(rows))
    assert (list(result.passed), result.score) == (passed, score)


@given(hostile, st.integers(1, 4), st.booleans())
def test_no_text_raises_or_is_read_as_more_than_it_says(text: str, count: int, truncated: bool) -> None:
    result = parse_judgement(text, principles(count), truncated=truncated)
    if isinstance(result, Judgement):
        assert not truncated
        assert len(result.passed) == len(result.rationales) == count
        assert 0.0 <= result.score <= 10.0
        assert "score>" in text.lower()
    else:
        assert result.kind in FailureKind
        assert result.message


@given(hostile)
def test_no_text_makes_the_principles_raise(text: str) -> None:
    result = parse_principles(text)
    if isinstance(result, Failure):
        assert result.message
    else:
        assert 1 <= len(result) <= MAX_PRINCIPLES
        assert len({principle.question.lower() for principle in result}) == len(result)


PRINCIPLES = (
    Principle(question="Is it blue?", category=Category.INSTRUCTION_FOLLOWING),
    Principle(question="Is the rest as it was?", category=Category.FEATURE_PRESERVATION),
    Principle(question="Is it sharp?", category=Category.IMAGE_QUALITY),
)


def test_principles_are_read_back_in_the_compact_form() -> None:
    assert parse_principles(format_principles(PRINCIPLES)) == PRINCIPLES


@pytest.mark.parametrize("name", ["instruction_following", "Instruction Following", "follow"])
def test_principles_are_read_from_json_whatever_the_category_is_called(name: str) -> None:
    text = f'Sure! ```json\n[{{"question": "Is it blue?", "category": "{name}"}}]\n```'
    assert parse_principles(text) == PRINCIPLES[:1]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", FailureKind.MISSING_PRINCIPLES),
        ("I would check the colour.", FailureKind.MISSING_PRINCIPLES),
        ('[{"question": "Is it blue?"}]', FailureKind.BAD_PRINCIPLE),
        ('[{"question": "Is it blue?", "category": "taste"}]', FailureKind.BAD_PRINCIPLE),
        ('[{"question": "", "category": "follow"}]', FailureKind.BAD_PRINCIPLE),
        ("follow: " + "x" * 5_000, FailureKind.BAD_PRINCIPLE),
        ("follow: Is it blue?\nkeep: is  it BLUE?", FailureKind.DUPLICATE_PRINCIPLE),
        ("\n".join(f"follow: question {index}" for index in range(500)), FailureKind.TOO_MANY_PRINCIPLES),
        ("x" * (MAX_TEXT_CHARS + 1), FailureKind.TOO_LONG),
    ],
)
def test_what_is_no_decomposition_is_a_typed_failure(text: str, kind: FailureKind) -> None:
    result = parse_principles(text)
    assert isinstance(result, Failure)
    assert result.kind is kind


def test_a_cut_off_decomposition_is_not_read() -> None:
    result = parse_principles(format_principles(PRINCIPLES), truncated=True)
    assert isinstance(result, Failure)
    assert result.kind is FailureKind.TRUNCATED
