"""The page's examples are what the shapes world draws, and the shipped judge tells the good edit from the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edit_rrm.verdicts import Mode
from edit_rrm_client import RewardClient
from edit_rrm_service.ui.examples import EXAMPLES, FOLDER, Example
from edit_rrm_training.shapes import judge
from edit_rrm_training.shapes.page_examples import stories, write_page_examples


def test_they_are_up_to_date(tmp_path: Path) -> None:
    """If not: python -c "from edit_rrm_training.shapes.page_examples import *; write_page_examples(Path(FOLDER))"."""
    write_page_examples(tmp_path)
    names = {path.relative_to(tmp_path) for path in tmp_path.rglob("*")}
    assert {path.relative_to(FOLDER) for path in FOLDER.rglob("*")} == names
    assert (FOLDER / "examples.json").read_text() == (tmp_path / "examples.json").read_text()
    for path in tmp_path.rglob("*.png"):
        # Pixels and not bytes: another version of zlib may pack them otherwise.
        assert np.array_equal(np.asarray(Image.open(path)), np.asarray(Image.open(FOLDER / path.relative_to(tmp_path))))


def test_the_oracle_puts_the_first_edit_first() -> None:
    for story in stories():
        scores = [judge(story.source, story.edit, scene).score for scene in story.edits.values()]
        assert scores[0] == 10.0
        assert max(scores[1:]) < 10.0


@pytest.mark.vllm
@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: one.source.parent.name)
def test_the_shipped_judge_puts_the_first_edit_first(example: Example, mode: Mode, client: RewardClient) -> None:
    reply = client.rewards(example.instruction, example.source, list(example.edited), mode=mode).raise_for_error()
    assert reply.mask.all()
    assert reply.rewards[0] > max(reply.rewards[1:])
