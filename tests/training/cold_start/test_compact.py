"""Judgements in the compact form, whatever form they came in."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from edit_rrm.grammar import Judgement, parse_judgement, parse_principles
from edit_rrm.prompts import load_prompt_set
from edit_rrm_training.judge.cold_start.compact import compact, principles_text
from tests.training.cold_start.people import PRINCIPLES, judgement


def read(text: str) -> Judgement:
    found = parse_judgement(text, PRINCIPLES)
    assert isinstance(found, Judgement)
    return found


def long_form(reasoning: str, verdicts: tuple[int, int, int], score: str) -> str:
    rows = [{"question": item.question, "score": value} for item, value in zip(PRINCIPLES, verdicts, strict=True)]
    return f'{reasoning}\n{json.dumps(rows)}\n{{"average_score": 0.67}}\n<score>{score}<\\score>'


def test_the_compact_form_stays_as_it_is() -> None:
    text = judgement((True, False, True), 6.5)
    assert compact(read(text), PRINCIPLES) == text


def test_the_long_form_is_restated() -> None:
    text = long_form("1. It is blue: yes\n2. It is gone: no\n3. It is sharp: yes", (1, 0, 1), "6.55")
    restated = "1. It is blue: yes\n2. It is gone: no\n3. It is sharp: yes\nverdicts: 1 0 1\n<score>6.5</score>"
    assert compact(read(text), PRINCIPLES) in (restated, restated.replace("6.5<", "6.6<"))


def test_free_reasoning_is_kept() -> None:
    text = long_form("The star is blue.\nThe circle is gone.", (1, 0, 1), "6")
    restated = "The star is blue.\nThe circle is gone.\nverdicts: 1 0 1\n<score>6.0</score>"
    assert compact(read(text), PRINCIPLES) == restated


def test_reasoning_that_would_be_read_as_verdicts_is_not_restated() -> None:
    boxes = 'Boxes: [{"box": [1, 2, 3, 4]}]'
    found = read(long_form(boxes, (1, 0, 1), "6"))
    assert compact(found, PRINCIPLES) is None


@given(
    st.text(alphabet=st.sampled_from('verdicts: 01\n<score>5[{"}]')) | st.text(),
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
    st.floats(0, 10),
)
def test_what_is_restated_means_the_same(reasoning: str, passed: tuple[bool, ...], score: float) -> None:
    meant = Judgement(passed, score, reasoning.strip(), (None,) * len(PRINCIPLES))
    text = compact(meant, PRINCIPLES)
    if text is not None:
        again = read(text)
        assert again.passed == passed
        assert abs(again.score - score) <= 0.0501


def test_principles_are_written_as_the_prompt_set_asks() -> None:
    for name in ("nano", "standard"):
        text = principles_text(load_prompt_set(name), PRINCIPLES)
        assert parse_principles(text) == PRINCIPLES
        assert text.startswith("[{") == (name == "standard")
