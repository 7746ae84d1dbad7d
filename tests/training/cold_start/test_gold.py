"""Gold verdicts: strictly the form asked for, never an exception, and time linear in the text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edit_rrm.principles import Category, Principle
from edit_rrm_training.judge.cold_start.gold import Gold, GoldFailure, GoldFailureKind, format_gold, parse_gold
from tests.linear_time import assert_linear
from tests.training.cold_start.people import PRINCIPLES

NO_VERDICTS: tuple[Any, ...] = (2, -1, "1", True, 1.0, None, [])
NO_REASONS: tuple[Any, ...] = ("", " \n", None, 3)
QUESTIONS = [principle.question for principle in PRINCIPLES]


def rows(**changes: Any) -> list[dict[str, Any]]:
    return [{"question": question, "gold": 1, "reason": "it is", **changes} for question in QUESTIONS]


def kind(text: str) -> GoldFailureKind:
    found = parse_gold(text, PRINCIPLES)
    assert isinstance(found, GoldFailure)
    assert found.message
    return found.kind


def test_gold_verdicts_with_reasons() -> None:
    entries = rows()
    entries[1] |= {"gold": 0, "reason": "the circle\nis gone "}
    assert parse_gold(json.dumps({"gold": entries}), PRINCIPLES) == Gold(
        (True, False, True), ("it is", "the circle is gone", "it is")
    )


@pytest.mark.parametrize("fence", ["```", "```json"])
def test_one_fence_is_let_pass(fence: str) -> None:
    text = f"{fence}\n{json.dumps({'gold': rows()}, indent=2)}\n```\n"
    assert isinstance(parse_gold(text, PRINCIPLES), Gold)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not_json"),
        ("The edit is good.", "not_json"),
        (f"Here you are: {json.dumps({'gold': rows()})}", "not_json"),
        (json.dumps({"gold": rows()}) + " I hope this helps", "not_json"),
        ('{"gold": [], "gold": []}', "not_json"),
        (json.dumps({"gold": rows(gold=float("nan"))}), "not_json"),
        ("[" * 100_000, "not_json"),
        (json.dumps(rows()), "bad_form"),
        (json.dumps({"gold": rows(), "note": ""}), "bad_form"),
        (json.dumps({"gold": rows(box=[1, 2])}), "bad_form"),
        (json.dumps({"gold": [1, 0, 1]}), "bad_form"),
        (json.dumps({"gold": rows()[:2]}), "wrong_length"),
        (json.dumps({"gold": [*rows(), rows()[0]]}), "wrong_length"),
        (json.dumps({"gold": rows()[::-1]}), "wrong_order"),
        (json.dumps({"gold": rows(question="Is the star red?")}), "wrong_order"),
        (json.dumps({"gold": rows(question=None)}), "wrong_order"),
        *((json.dumps({"gold": rows(gold=value)}), "bad_value") for value in NO_VERDICTS),
        *((json.dumps({"gold": rows(reason=value)}), "missing_reason") for value in NO_REASONS),
        (json.dumps({"gold": rows(reason="x" * 200_000)}), "too_long"),
    ],
)
def test_what_is_not_in_the_form_is_a_typed_failure(text: str, why: str) -> None:
    assert kind(text) == why


def test_a_question_comes_back_as_it_was_shown() -> None:
    asked = [Principle(question="Does  it say <b>?", category=Category.IMAGE_QUALITY)]
    text = json.dumps({"gold": [{"question": "does it say ‹b›?", "gold": 0, "reason": "no"}]})
    assert parse_gold(text, asked) == Gold((False,), ("no",))


@given(
    st.lists(
        st.tuples(st.booleans(), st.text(min_size=1).filter(str.strip)),
        min_size=len(PRINCIPLES),
        max_size=len(PRINCIPLES),
    )
)
def test_what_is_written_is_read(said: list[tuple[bool, str]]) -> None:
    meant = Gold(tuple(passed for passed, _ in said), tuple(" ".join(reason.split()) for _, reason in said))
    assert parse_gold(format_gold(meant, PRINCIPLES), PRINCIPLES) == meant


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(QUESTIONS) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["gold", "question", "reason"]) | st.text(), inner),
    max_leaves=20,
)


@given(st.text() | _JSON.map(json.dumps) | _JSON.map(lambda value: json.dumps({"gold": value})))
def test_no_text_raises(text: str) -> None:
    assert isinstance(parse_gold(text, PRINCIPLES), Gold | GoldFailure)


@pytest.mark.parametrize("piece", ["[", '{"gold":', "9", "```\n", '{"gold": [', "\\u0000", '"'])
def test_time_is_linear(piece: str) -> None:
    assert_linear(lambda text: parse_gold(text, PRINCIPLES), piece)
