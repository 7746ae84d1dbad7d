"""Rows from Hugging Face datasets and the shapes world; what is wrong with a row is told, and costs that row."""

from __future__ import annotations

import io
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict, Features, Value
from datasets import Image as ImageFeature
from PIL import Image

from edit_rrm_training.judge.cold_start.config import Columns
from edit_rrm_training.judge.cold_start.errors import ColdStartError
from edit_rrm_training.judge.cold_start.rows import BadRow, EditRow, open_rows, read_row
from edit_rrm_training.judge.upright import upright
from tests.training.cold_start.people import png


def dataset(
    rows: list[tuple[Any, Any, Any]], names: tuple[str, str, str] = ("instruction", "source", "edited")
) -> Dataset:
    features = Features({names[0]: Value("string"), names[1]: ImageFeature(), names[2]: ImageFeature()})
    made = [dict(zip(names, row, strict=True)) for row in rows]
    return Dataset.from_list(made, features=features)


def images(*contents: bytes | None) -> Any:
    return [{"bytes": content, "path": None} for content in contents]


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("how", ["file", "folder", "saved"])
def test_rows_of_a_dataset(tmp_path: Path, how: str) -> None:
    made = dataset([(f"edit {index}", *images(png("red"), png("blue"))) for index in range(3)])
    path = tmp_path / "edits.parquet" if how == "file" else tmp_path / "edits"
    if how == "saved":
        made.save_to_disk(str(path))
    else:
        (path / "deep").mkdir(parents=True) if how == "folder" else None
        made.to_parquet(str(path if how == "file" else path / "deep" / "one.parquet"))
    rows = open_rows(str(path), Columns())
    assert rows.total == 3
    found = [load() for load in rows]
    assert [load() for load in rows] == found
    assert [row.instruction for row in found if isinstance(row, EditRow)] == ["edit 0", "edit 1", "edit 2"]
    first = found[0]
    assert isinstance(first, EditRow)
    assert (first.source, first.edited) == (png("red"), png("blue"))
    assert first.origin.endswith("/0")
    assert len({row.id for row in found if isinstance(row, EditRow)}) == 3


def test_columns_can_have_other_names(tmp_path: Path) -> None:
    path = tmp_path / "edits.parquet"
    dataset([("x", *images(png("red"), png("blue")))], ("prompt", "before", "after")).to_parquet(str(path))
    with pytest.raises(ColdStartError) as error:
        open_rows(str(path), Columns())
    assert "lacks the columns instruction, source, edited; it has: prompt, before, after" in str(error.value)
    rows = open_rows(str(path), Columns(instruction="prompt", source="before", edited="after"))
    assert isinstance(next(iter(rows))(), EditRow)


def test_input_that_is_none_is_one_line(tmp_path: Path) -> None:
    one = dataset([("x", *images(png("red"), png("blue")))])
    empty, broken = tmp_path / "empty.parquet", tmp_path / "broken.parquet"
    one.select([]).to_parquet(str(empty))
    broken.write_bytes(b"no parquet")
    (tmp_path / "folder").mkdir()
    DatasetDict({"a": one, "b": one}).save_to_disk(str(tmp_path / "splits"))
    for data, told in {
        str(empty): "has no rows",
        str(broken): "cannot be read",
        str(tmp_path / "folder"): "holds no parquet file",
        str(tmp_path / "splits"): r"several splits \(a, b\)",
        str(tmp_path / "nowhere"): "no input .*nowhere",
        "shapes:trian": "no split 'trian' of the shapes world; there are: train, validation",
    }.items():
        with pytest.raises(ColdStartError, match=told) as error:
            open_rows(data, Columns())
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("instruction", "source", "edited", "reason"),
    [
        (None, png("red"), png("red"), "no_instruction"),
        (" \n", png("red"), png("red"), "no_instruction"),
        ("x" * 5_000, png("red"), png("red"), "long_instruction"),
        ("x", None, png("red"), "missing_image"),
        ("x", png("red"), b"", "missing_image"),
        ("x", png("red"), b"GIF87a", "bad_image"),
        ("x", png("red", 64)[:-60], png("red"), "bad_image"),
    ],
)
def test_a_bad_row_says_why(instruction: Any, source: Any, edited: Any, reason: str) -> None:
    row = read_row("here/1", instruction, {"bytes": source}, {"bytes": edited})
    assert isinstance(row, BadRow)
    assert (row.origin, row.reason) == ("here/1", reason)
    assert row.message


def test_an_image_too_big_is_not_decoded() -> None:
    huge = encoded(Image.new("1", (9_000, 8_000)), "PNG")
    row = read_row("here/1", "x", {"bytes": huge}, {"bytes": huge})
    assert isinstance(row, BadRow)
    assert "more than 64,000,000 pixels" in row.message


def test_images_are_upright_rgb_and_otherwise_untouched() -> None:
    plain = encoded(Image.new("RGB", (4, 2), "red"), "JPEG")
    assert upright(plain) is plain
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(Image.new("RGB", (4, 2), "red"), "JPEG", exif=exif)
    with Image.open(io.BytesIO(upright(turned))) as image:
        assert (image.size, image.mode, image.format) == ((2, 4), "RGB", "PNG")
    clear = encoded(Image.new("RGBA", (2, 2), (255, 0, 0, 0)), "PNG")
    with Image.open(io.BytesIO(upright(clear))) as image:
        assert image.getpixel((0, 0)) == (255, 255, 255)
    for kind in ("BMP", "GIF", "TIFF"):
        assert upright(encoded(Image.new("RGB", (2, 2), "red"), kind)).startswith(b"\x89PNG")


def test_sixteen_bits_of_grey_are_scaled() -> None:
    deep = Image.new("I;16", (2, 2), 100 * 257)
    with Image.open(io.BytesIO(upright(encoded(deep, "PNG")))) as image:
        assert image.getpixel((0, 0)) == (100, 100, 100)


def test_ids_depend_on_everything_that_is_judged() -> None:
    def ids(instruction: str, source: str, edited: str) -> tuple[str, str]:
        row = read_row("x", instruction, {"bytes": png(source)}, {"bytes": png(edited)})
        assert isinstance(row, EditRow)
        return row.task, row.id

    base = ids("a", "red", "blue")
    assert ids(" a ", "red", "blue") == base
    assert ids("a", "red", "green")[0] == base[0]
    others = [ids("b", "red", "blue"), ids("a", "green", "blue"), ids("a", "red", "green")]
    assert len({base[1], *(other[1] for other in others)}) == 4


def test_shapes_do_not_end_and_are_the_same_every_time() -> None:
    rows = open_rows("shapes:validation", Columns())
    assert rows.total is None
    once, again = ([load() for load in islice(rows, 3)] for _ in range(2))
    assert once == again
    assert [row.origin for row in once] == [f"shapes:validation/{index}" for index in range(3)]
