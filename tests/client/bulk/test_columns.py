"""Columns are checked before anything is scored; images come as content, structs or paths."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from edit_rrm.verdicts import Outcome, Reward
from edit_rrm_client.bulk.cells import Images, canonical, checked_instruction
from edit_rrm_client.bulk.columns import Columns
from edit_rrm_client.bulk.errors import BulkError

SCHEMA = pa.schema(
    {
        "prompt": pa.large_string(),
        "source": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
        "edited": pa.string(),
        "id": pa.int64(),
        "score": pa.float64(),
    }
)


def test_a_command_line_names_columns() -> None:
    columns = Columns.parse("instruction=prompt, edited = after", "id,split")
    assert columns == Columns("prompt", "source", "after", ("id", "split"))
    assert columns.needed == ("prompt", "source", "after", "id", "split")
    assert Columns.parse("") == Columns()


@pytest.mark.parametrize("wrong", ["prompt", "prompt=instruction", "instruction=", "source=a,source=b"])
def test_what_names_no_column(wrong: str) -> None:
    with pytest.raises(BulkError, match="write instruction=NAME"):
        Columns.parse(wrong)


def test_columns_that_fit() -> None:
    Columns("prompt", keep=("id", "prompt")).check(SCHEMA, "it")


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (Columns(), "it has no column 'instruction'; there are prompt, source, edited, id, score"),
        (Columns("prompt", "before", "after"), "no column 'before' and none 'after'"),
        (Columns("id"), "the instructions in 'id' are int64, and strings are wanted"),
        (Columns("prompt", edited="id"), "the images in 'id' are int64"),
        (Columns("prompt", keep=("score",)), "'score' cannot be kept: the output has a column of that name"),
        (Columns("prompt", keep=("id", "id")), "'id' cannot be kept"),
    ],
)
def test_columns_that_do_not(columns: Columns, told: str) -> None:
    with pytest.raises(BulkError, match=r"^it") as caught:
        columns.check(SCHEMA, "it")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([b"here", None]),
        pa.array([b"here", None], pa.large_binary()),
        pa.array([{"bytes": b"here", "path": "not/looked/at.png"}, None]),
        pa.array([{"bytes": None, "path": "here.png"}, {"bytes": None, "path": None}]),
        pa.array([{"bytes": b"here"}, {"bytes": None}]),
        pa.array(["here.png", None]),
        pa.array(["here.png", None], pa.large_string()),
    ],
)
def test_images_of_every_kind(column: pa.Array, tmp_path: Path) -> None:
    (tmp_path / "here.png").write_bytes(b"here")
    table = pa.table({"instruction": ["x", "y"], "source": column, "edited": column})
    found = canonical(table, Columns(), tmp_path)["source"].to_pylist()
    here, missing = (Images().load(cell, "source") for cell in found)
    assert here == b"here"
    assert isinstance(missing, Reward)
    assert missing.error is not None
    assert (missing.outcome, missing.error.code, missing.error.param) == (Outcome.BAD_IMAGE, "no_image", "source")


def test_a_file_that_is_not_there_is_told_by_name(tmp_path: Path) -> None:
    found = Images().load({"bytes": None, "path": str(tmp_path / "gone.png")}, "edited")
    assert isinstance(found, Reward)
    assert found.error is not None
    assert found.error.code == "unreadable_image"
    assert found.error.message.endswith("gone.png cannot be read: No such file or directory")


@pytest.mark.parametrize("text", [None, "", "   ", "x" * 4_001])
def test_instructions_that_the_service_would_refuse(text: str | None) -> None:
    found = checked_instruction(text)
    assert isinstance(found, Reward)
    assert found.outcome is Outcome.REFUSED


def test_an_instruction_is_stripped_as_the_service_does() -> None:
    assert checked_instruction(" x ") == "x"


def test_a_column_that_is_there_twice_is_no_column() -> None:
    twice = pa.schema([*SCHEMA, pa.field("source", pa.binary())])
    with pytest.raises(BulkError, match="it has several columns 'source'; rename all but one"):
        Columns("prompt").check(twice, "it")


def test_a_path_that_no_file_can_have_costs_its_row() -> None:
    found = Images().load({"bytes": None, "path": "a\0b.png"}, "edited")
    assert isinstance(found, Reward)
    assert found.outcome is Outcome.BAD_IMAGE
