"""Prompts: groups are known by source and instruction, and a file is looked through before anything is trained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edit_rrm_training.editor.prompts import Prompt, PromptsError, load_prompts
from edit_rrm_training.editor.scoring import no_edit_penalty

RED, GRAY = (Image.new("RGB", (8, 8), colour) for colour in ("red", "gray"))


def test_a_group_is_a_source_and_an_instruction() -> None:
    one = Prompt("make it blue", RED, "a")
    assert one.key == Prompt("make it blue", RED.copy(), "b").key
    assert one.key != Prompt("make it blue", GRAY, "a").key
    assert one.key != Prompt("make it green", RED, "a").key


def test_a_file_of_prompts(tmp_path: Path) -> None:
    RED.save(tmp_path / "a.png")
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"instruction": " make it blue ", "source": "a.png"}\n\n' * 3, encoding="utf-8")
    found = load_prompts(str(path), limit=2)
    assert len(found) == 2
    assert found[1].instruction == "make it blue"
    assert found[1].name == "prompts.jsonl:3"
    assert found[1].source.size == (8, 8)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("nonsense", "line 1: is not JSON"),
        ('{"instruction": "x"}', "line 1: needs an instruction and a source"),
        ('{"instruction": " ", "source": "a.png"}', "line 1: the instruction is empty"),
        ('{"instruction": "x", "source": "gone.png"}', r"line 1: there is no gone\.png"),
        ('{"instruction": "x", "source": "b.png"}', r"line 1: b\.png is no picture"),
        ("", "has no prompts; a line is"),
    ],
)
def test_lines_that_cannot_be_used_are_named(line: str, told: str, tmp_path: Path) -> None:
    RED.save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    path = tmp_path / "prompts.jsonl"
    path.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(PromptsError, match=told):
        load_prompts(str(path))


def test_many_problems_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text((json.dumps({"instruction": "x", "source": "gone.png"}) + "\n") * 9, encoding="utf-8")
    with pytest.raises(PromptsError, match="and 6 more"):
        load_prompts(str(path))
    with pytest.raises(PromptsError, match="cannot be read"):
        load_prompts(str(tmp_path / "nowhere.jsonl"))


def test_the_shapes_world_has_prompts_of_its_own() -> None:
    found = load_prompts("shapes:held-out", limit=10)
    assert len(found) == 10
    assert found[3].source.size == (84, 84)
    assert len({found[index].key for index in range(10)}) == 10
    with pytest.raises(IndexError):
        found[10]
    with pytest.raises(PromptsError, match="no split"):
        load_prompts("shapes:nowhere")


def test_an_edit_that_is_its_source_is_punished() -> None:
    prompt = Prompt("make it blue", RED, "a")
    almost = Image.fromarray(np.asarray(RED) - np.uint8(1) * (np.asarray(RED) > 0))
    blue = Image.new("RGB", (8, 8), "blue")
    assert no_edit_penalty(prompt, [RED, almost, blue, RED.resize((16, 16))]).tolist() == [-1.0, -1.0, 0.0, -1.0]
