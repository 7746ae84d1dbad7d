"""What a person has filled in, as a question; and what is said where something is missing."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import pytest

from edit_rrm.verdicts import Aggregation, Mode
from edit_rrm_service.ui.examples import EXAMPLES
from edit_rrm_service.ui.judge_tab import NothingToJudgeError, asked
from tests.service.ui.replies import FOLLOW

SOURCE, EDIT = str(EXAMPLES[0].source), str(EXAMPLES[0].edited[0])


def test_a_question() -> None:
    question = asked(SOURCE, [EDIT, SOURCE], " make it blue ", "probe", "follow: Is the star blue?", 3, "min")
    assert question.instruction == "make it blue"
    assert question.source.data == Path(SOURCE).read_bytes()
    assert [image.name for image in question.edited] == ["good.png", "source.png"]
    assert (question.mode, question.samples, question.aggregation) == (Mode.PROBE, 3, Aggregation.MIN)
    assert question.principles == (FOLLOW,)


@pytest.mark.parametrize("nothing", [None, ""])
def test_fields_that_nobody_touched_are_left_to_the_service(nothing: str | None) -> None:
    question = asked(SOURCE, [EDIT], "x", "think", nothing, 1, nothing)
    assert question.fields == {"instruction": "x"}


@pytest.mark.parametrize(
    ("source", "edits", "instruction", "said"),
    [
        (None, [EDIT], "x", "no source image yet"),
        (SOURCE, None, "x", "no edited image yet"),
        (SOURCE, [], "x", "no edited image yet"),
        (SOURCE, [EDIT], None, "no instruction yet"),
        (SOURCE, [EDIT], " ", "no instruction yet"),
    ],
)
def test_what_is_missing(source: str | None, edits: list[str] | None, instruction: str | None, said: str) -> None:
    with pytest.raises(NothingToJudgeError, match=said):
        asked(source, edits, instruction, "think")


def test_a_file_that_has_been_deleted_meanwhile(tmp_path: Path) -> None:
    with pytest.raises(gr.Error, match=r"gone\.png is no longer here; choose it again"):
        asked(SOURCE, [str(tmp_path / "gone.png")], "x", "think")
