"""Local copies of datasets: three formats, one kind of rows, and messages that say what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from edit_rrm_training.judge.pairs.sources.table import DataError, Table
from tests.training.pairs.datasets_on_disk import (
    Row,
    genai_row,
    png,
    write_arrow,
    write_jsonl,
    write_parquet,
)

NEEDED = (("instruct_prompt", "instruction"), ("vote_type",))


def votes(table: Table) -> list[str]:
    return [str(part.row(index)["vote_type"]) for part, index in table]


def parquet(folder: Path, rows: list[Row]) -> Path:
    return write_parquet(folder / "data" / "test-00000-of-00001.parquet", rows, row_group=2)


def jsonl(folder: Path, rows: list[Row]) -> Path:
    (folder / "blue.png").write_bytes(png("blue"))
    return write_jsonl(folder / "pairs.jsonl", [{**row, **dict.fromkeys(_IMAGES, "blue.png")} for row in rows])


_IMAGES = ("source_image", "left_output_image", "right_output_image")
WRITERS: list[Callable[[Path, list[Row]], Path]] = [
    parquet,
    jsonl,
    lambda folder, rows: write_arrow(folder / "saved", rows),
]


@pytest.mark.parametrize("write", WRITERS)
def test_rows_come_in_order_from_files_and_from_folders(
    write: Callable[[Path, list[Row]], Path], tmp_path: Path
) -> None:
    expected = [f"vote {index}" for index in range(7)]
    path = write(tmp_path, [genai_row(vote) for vote in expected])
    for where in (path, tmp_path):
        assert votes(Table(where, NEEDED)) == expected
    assert votes(Table(path, NEEDED, limit=3)) == expected[:3]
    assert len(Table(path, NEEDED, limit=3)) == 3


def test_a_limit_reaches_over_files(tmp_path: Path) -> None:
    for file in range(3):
        write_parquet(tmp_path / f"{file}.parquet", [genai_row(f"{file}-{row}") for row in range(3)])
    assert votes(Table(tmp_path, NEEDED, limit=4)) == ["0-0", "0-1", "0-2", "1-0"]
    assert len(Table(tmp_path, NEEDED)) == 9


def test_rows_can_be_read_from_several_threads(tmp_path: Path) -> None:
    expected = [f"vote {index}" for index in range(40)]
    table = Table(parquet(tmp_path, [genai_row(vote) for vote in expected]), NEEDED)
    places = list(table)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda place: place[0].row(place[1])["vote_type"], places[::-1]))
    assert found[::-1] == expected


@pytest.mark.parametrize("write", WRITERS)
def test_missing_columns_are_named_with_those_there_are(
    write: Callable[[Path, list[Row]], Path], tmp_path: Path
) -> None:
    row = genai_row()
    del row["instruct_prompt"], row["vote_type"]
    path = write(tmp_path, [row])
    with pytest.raises(DataError) as caught:
        Table(path, NEEDED)
    assert "has no column instruct_prompt or instruction, vote_type; it has source_prompt, target_prompt, " in str(
        caught.value
    )


def test_nothing_there_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is not there; docs/evaluation.md says how to download"):
        Table(tmp_path / "nowhere", NEEDED)
    with pytest.raises(DataError, match=r"holds no file that ends in .arrow, .parquet, .jsonl"):
        Table(tmp_path, NEEDED)
    (tmp_path / "data.csv").write_text("a,b")
    with pytest.raises(DataError, match=r"data.csv ends in none of .arrow, .parquet, .jsonl"):
        Table(tmp_path / "data.csv", NEEDED)


def test_no_rows_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text("\n")
    with pytest.raises(DataError, match="has no rows"):
        Table(tmp_path, NEEDED)


def test_two_kinds_of_files_are_not_guessed_between(tmp_path: Path) -> None:
    parquet(tmp_path, [genai_row()])
    jsonl(tmp_path, [genai_row()])
    with pytest.raises(DataError, match=r"files of several kinds \(.jsonl, .parquet\); name one"):
        Table(tmp_path, NEEDED)


def test_hidden_files_and_caches_are_no_data(tmp_path: Path) -> None:
    folder = write_arrow(tmp_path / "saved", [genai_row("leftvote")])
    write_parquet(tmp_path / ".cache" / "huggingface" / "x.parquet", [genai_row()])
    (folder / "cache-0123.arrow").write_bytes(b"not read")
    assert votes(Table(tmp_path, NEEDED)) == ["leftvote"]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("x.parquet", b"PAR1, and no end", "is no Parquet file"),
        ("x.arrow", b"ARROW, or not", "is no Arrow stream"),
        ("x.jsonl", b'{"a": 1}\n{"a": ', "line 2 is not JSON"),
        ("x.jsonl", b"[1, 2]\n", "line 1 is JSON but no object"),
    ],
)
def test_damaged_files_are_named(name: str, content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=told) as caught:
        Table(tmp_path, NEEDED)
    assert name in str(caught.value)


def test_what_the_datasets_library_saves_is_read(tmp_path: Path) -> None:
    """Not our idea of its format: the library's own writer, with its image features."""
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"vote_type": datasets.Value("string"), "instruction": datasets.Value("string")})
    features["source_image"] = datasets.Image()
    features["output_images"] = datasets.Sequence(datasets.Image(), length=2)
    (tmp_path / "a.png").write_bytes(png("blue"))

    def made(image: dict[str, object]) -> Any:
        row = {"vote_type": "leftvote", "instruction": "x", "source_image": image, "output_images": [image, image]}
        return datasets.Dataset.from_list([row, row], features=features)

    # Saving takes the content of files along; writing Parquet takes what is in the table.
    made({"bytes": None, "path": str(tmp_path / "a.png")}).save_to_disk(tmp_path / "saved")
    made({"bytes": png("blue"), "path": None}).to_parquet(tmp_path / "written" / "x.parquet")
    for folder in ("saved", "written"):
        part, index = list(Table(tmp_path / folder, NEEDED))[1]
        found = part.row(index)
        assert found["source_image"]["bytes"] == png("blue")
        assert [each["bytes"] for each in found["output_images"]] == [png("blue")] * 2


def test_json_lines_may_leave_out_what_is_null(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in ({"instruction": "x"}, {"vote_type": "y"})))
    assert len(Table(file, NEEDED)) == 2
