"""Two requests have one key exactly when the judge would be asked the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edit_rrm.principles import Category, Principle
from edit_rrm.verdicts import Mode
from edit_rrm_service.cache_key import _framed, decomposition_key, verification_key

PRINCIPLES = (
    Principle(question="Is it blue?", category=Category.INSTRUCTION_FOLLOWING),
    Principle(question="Is it sharp?", category=Category.IMAGE_QUALITY),
)
ASKED: dict[str, Any] = {
    "identity": "judge",
    "instruction": "make it blue",
    "principles": PRINCIPLES,
    "source": "aa",
    "edited": "bb",
    "mode": Mode.THINK,
    "samples": 1,
    "temperature": 0.0,
    "top_p": 1.0,
    "seed": None,
}


@pytest.mark.parametrize(
    ("field", "other"),
    [
        ("identity", "another judge"),
        ("instruction", "make it red"),
        ("principles", PRINCIPLES[::-1]),
        ("principles", PRINCIPLES[:1]),
        ("principles", (PRINCIPLES[0], PRINCIPLES[1].model_copy(update={"category": Category.FEATURE_PRESERVATION}))),
        ("source", "ab"),
        ("edited", "ba"),
        ("mode", Mode.PROBE),
        ("samples", 2),
        ("temperature", 0.5),
        ("top_p", 0.5),
        ("seed", 0),
    ],
)
def test_what_changes_the_question_changes_the_key(field: str, other: object) -> None:
    assert verification_key(**ASKED) != verification_key(**{**ASKED, field: other})


def test_probes_do_not_depend_on_how_one_would_have_sampled() -> None:
    probe = {**ASKED, "mode": Mode.PROBE}
    assert verification_key(**probe) == verification_key(**{**probe, "temperature": 0.7, "seed": 3})


def test_the_same_question_has_the_same_key_in_every_process_and_release() -> None:
    assert verification_key(**ASKED) == verification_key(**{**ASKED, "temperature": 0})
    known = "0199a495f65c8f86c91da7f78feba78e568504e2705ace799159e7af16aa1c36"
    assert decomposition_key("judge", "make it blue", "aa") == f"edit-rrm:v1:decomposition:{known}"
    assert decomposition_key("judge", "make it blue", "aa") != decomposition_key("judge", "make it blueaa", "")


@given(st.lists(st.text(max_size=8), max_size=5), st.lists(st.text(max_size=8), max_size=5))
def test_framed_parts_never_run_together(first: list[str], second: list[str]) -> None:
    assert (b"".join(_framed(first)) == b"".join(_framed(second))) is (first == second)
