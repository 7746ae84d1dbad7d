"""Prompts: groups are known by source and instruction, and a file is looked through before anything is trained."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edit_rrm_training.editor.policies.base import Size
from edit_rrm_training.editor.prompts import Prompt, PromptsError, check_prompts, load_prompts

RED, GRAY = (Image.new("RGB", (8, 8), colour) for colour in ("red", "gray"))


def written(path: Path, *lines: tuple[str, str]) -> str:
    """A file of instructions and sources."""
    fields = [{"instruction": instruction, "source": source} for instruction, source in lines]
    path.write_text("".join(json.dumps(one) + "\n" for one in fields), encoding="utf-8")
    return str(path)


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
    with pytest.raises(PromptsError, match="and 4 more"):
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


def test_sources_that_cannot_be_decoded_or_sent_are_named_together(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG")
    (tmp_path / "half.jpg").write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    Image.new("F", (8, 8), 0.5).save(tmp_path / "floats.tiff")
    Image.new("I", (8, 8), 70_000).save(tmp_path / "integers.tiff")
    RED.save(tmp_path / "red.png")
    names = ("red.png", "half.jpg", "floats.tiff", "gone.png", "integers.tiff", "half.jpg")
    path = written(tmp_path / "prompts.jsonl", *(("x", name) for name in names))
    with pytest.raises(PromptsError) as raised:
        load_prompts(path)
    message = str(raised.value)
    assert message.startswith(f"{path}: line 2: half.jpg is no picture that can be decoded (image file is truncated")
    assert "line 3: floats.tiff: a PIL image of mode 'F' is no picture; convert it to RGB first" in message
    assert "line 4: there is no gone.png" in message
    assert "line 5: integers.tiff: a PIL image of mode 'I'" in message
    assert "line 6: half.jpg is no picture" in message
    assert "red.png" not in message


def test_a_source_of_many_lines_is_decoded_once(tmp_path: Path) -> None:
    RED.save(tmp_path / "a.png")
    GRAY.save(tmp_path / "b.png")
    told: list[tuple[int, int]] = []
    lines = [(f"{number}", f"{name}.png") for number in range(50) for name in "ab"]
    found = load_prompts(written(tmp_path / "p.jsonl", *lines), told=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]
    assert len(found) == 100
    assert found[1].source.getpixel((0, 0)) == GRAY.getpixel((0, 0))


def test_prompts_that_a_policy_could_not_draw_are_named_together(tmp_path: Path) -> None:
    asked: list[tuple[str, Size]] = []

    def check(instruction: str, size: Size) -> None:
        asked.append((instruction, size))
        if len(instruction) > 5 or max(size) > 20:
            raise ValueError(f"{instruction} of {size} is too much")

    turned = Image.new("RGB", (30, 10))
    turned.getexif()[0x0112] = 6
    turned.save(tmp_path / "large.jpg", exif=turned.getexif())
    RED.save(tmp_path / "a.png")
    lines = [("short", "a.png"), ("much longer", "a.png"), ("short", "large.jpg"), ("short", "a.png")]
    trained = load_prompts(written(tmp_path / "trained.jsonl", *lines))
    held_out = load_prompts(written(tmp_path / "held-out.jsonl", ("longest", "a.png")))
    with pytest.raises(PromptsError) as raised:
        check_prompts([trained, held_out, load_prompts(trained.where, limit=2), load_prompts("shapes:train")], check)
    first, second, shapes = str(raised.value).split(f"; {tmp_path}")[0], *str(raised.value).split("; ")[2:4]
    assert first == (
        f"{trained.where}: line 2: much longer of (8, 8) is too much; line 3: short of (30, 10) is too much"
    )
    assert second == f"{held_out.where}: line 1: longest of (8, 8) is too much"
    assert shapes.startswith("shapes:train: [0]: ")
    assert "of (84, 84) is too much" in shapes
    assert str(raised.value).count("line 2") == 1
    assert asked.count(("short", (8, 8))) == 1
    check_prompts([load_prompts("shapes:train"), held_out], lambda instruction, size: None)
