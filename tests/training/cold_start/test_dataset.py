"""The SFT set: what `datasets` loads, what a chat template makes of it, and that nothing half-written stays."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import jinja2
import pytest
from datasets import load_dataset

from edit_rrm.grammar import Judgement, parse_judgement, parse_principles
from edit_rrm.principles import Principle
from edit_rrm.prompts import load_prompt_set
from edit_rrm_training.judge.cold_start.dataset import features, write_dataset
from edit_rrm_training.judge.cold_start.errors import ColdStartError
from tests.training.cold_start.people import FakeTeacher, ListedRows, gold, judgement, png, staff, started, triples

TEMPLATE = Path(__file__).parents[2] / "engines" / "templates" / "qwen2_5_vl.jinja"
ROWS = 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    rows = ListedRows([*triples(ROWS), ("make it 0", png("red"), png("green"))])
    truth = (True, False, True)
    good = FakeTeacher("good", thinks=lambda row: judgement(truth, 6.5), verifies=lambda row: gold(truth))
    with started(out, rows, staff(FakeTeacher("bad"), good, writer=good, verifier=good)) as (pipeline, steps):
        asyncio.run(pipeline.run())
        prompts = load_prompt_set("standard")
        assert write_dataset(pipeline, steps, prompts, out / "set", verified=True) == {"judge": 6, "decompose": 5}
    return out / "set"


def loaded(folder: Path, name: str, cache: Path) -> Any:
    return load_dataset(str(folder), name, split="train", cache_dir=str(cache))


def test_a_judge_row_has_everything(folder: Path, tmp_path: Path) -> None:
    rows = loaded(folder, "judge", tmp_path)
    assert rows.features == features()
    assert [row["origin"] for row in rows] == [f"listed/{index}" for index in range(6)]
    row = rows[3]
    asked = [Principle.model_validate(item) for item in row["principles"]]
    text = row["completion"][0]["content"][0]["text"]
    found = parse_judgement(text, asked)
    assert isinstance(found, Judgement)
    assert list(found.passed) == row["verdicts"] == row["gold"] == [True, False, True]
    assert (row["score"], row["average"], row["agreement"]) == (6.5, pytest.approx(2 / 3), 1.0)
    assert (row["teacher"], row["model"], row["variant"], row["temperature"]) == ("good", "good-model", "plain", 0.5)
    assert (row["principles_teacher"], row["verifier"], row["pool"]) == ("good", "good", "random")
    assert (row["candidates"], row["candidates_parsed"]) == (2, 2)
    assert len(row["exemplars"]) == 2
    assert row["gold_reasons"] == ["because"] * 3
    assert row["seed"] > 0
    assert [image.getpixel((0, 0)) for image in row["images"]] == [(255, 0, 0), (3, 0, 0)]


def test_prompts_hold_placeholders_in_the_templates_order(folder: Path, tmp_path: Path) -> None:
    for name, count in (("judge", 2), ("decompose", 1)):
        row = loaded(folder, name, tmp_path)[0]
        prompts = load_prompt_set("standard")
        asked = [Principle.model_validate(item) for item in row["principles"]]
        prompt = prompts.think(row["instruction"], asked) if name == "judge" else prompts.decompose(row["instruction"])
        system, user = row["prompt"]
        assert system["content"] == [{"type": "text", "text": prompt.system}]
        kinds = ["image" if hasattr(part, "role") else part.text for part in prompt.parts]
        assert [item.get("text", "image") for item in user["content"]] == kinds
        assert {"type": "image"} in user["content"], "a placeholder has no null text that a template might print"
        assert len(row["images"]) == count


def test_qwens_chat_template_takes_the_rows(folder: Path, tmp_path: Path) -> None:
    template = jinja2.Environment(autoescape=False).from_string(TEMPLATE.read_text(encoding="utf-8"))
    row = loaded(folder, "judge", tmp_path)[0]
    text = template.render(messages=[*row["prompt"], *row["completion"]], add_generation_prompt=False)
    assert text.count("<|image_pad|>") == 2
    assert text.rstrip().endswith("<score>6.5</score><|im_end|>")
    assert "None" not in text


def test_decompose_rows_are_one_per_instruction_and_source(folder: Path, tmp_path: Path) -> None:
    rows = loaded(folder, "decompose", tmp_path)
    assert len(rows) == len(set(rows["task_id"])) == ROWS
    for row in rows:
        found = parse_principles(row["completion"][0]["content"][0]["text"])
        assert found == tuple(Principle.model_validate(item) for item in row["principles"])
        assert row["teacher"] == "good"
        assert row["verdicts"] is None
        assert row["score"] is None


def test_files_are_bounded(tmp_path: Path) -> None:
    rows = ListedRows(triples(7))
    with started(tmp_path, rows, staff()) as (pipeline, steps):
        asyncio.run(pipeline.run())
        seen: list[int] = []
        write_dataset(
            pipeline,
            steps,
            load_prompt_set("nano"),
            tmp_path / "set",
            verified=True,
            rows_per_file=4,
            rows_per_group=2,
            progress=seen.append,
        )
    assert len(list((tmp_path / "set" / "judge").glob("*.parquet"))) == 2
    assert len(loaded(tmp_path / "set", "judge", tmp_path / "cache")) == 7
    assert seen[-1] == 7


def test_nothing_selected_leaves_the_old_set(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "old").touch()
    with started(tmp_path, ListedRows(triples(2)), staff(FakeTeacher(thinks=lambda row: "hm"))) as (pipeline, steps):
        asyncio.run(pipeline.run())
        with pytest.raises(ColdStartError, match=r"no row was selected; .*04-selected\.jsonl says why"):
            write_dataset(pipeline, steps, load_prompt_set("nano"), tmp_path / "set", verified=True)
    assert (tmp_path / "set" / "old").exists()
