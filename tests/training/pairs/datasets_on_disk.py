"""Small datasets in the formats of the benchmarks, written the way their authors' tools write them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""How `datasets` stores an image."""

Row = dict[str, Any]


def png(colour: str | tuple[int, int, int], size: tuple[int, int] = (32, 32), kind: str = "PNG") -> bytes:
    """An image file of one colour."""
    buffer = BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return buffer.getvalue()


def cell(colour: str, size: tuple[int, int] = (32, 32)) -> dict[str, Any]:
    """An image inside a dataset."""
    return {"bytes": png(colour, size), "path": f"{colour}.png"}


NO_IMAGE: dict[str, Any] = {"bytes": None, "path": "left-behind.png"}
BROKEN_IMAGE = {"bytes": b"\x89PNG\r\n\x1a\n, and then nothing", "path": None}


def editscore_row(better: Any = None, worse: Any = None, **changed: Any) -> Row:
    edits = [better or cell("blue"), worse or cell("green")]
    return {
        "key": ["a", "b"],
        "instruction": "make it blue",
        "input_image": cell("red"),
        "output_images": edits,
        "task_type": "color_alter",
        "dimension": "overall",
        **changed,
    }


def own_row(**changed: Any) -> Row:
    return {
        "instruction": "make it blue",
        "source": cell("red"),
        "better": cell("blue"),
        "worse": cell("green"),
        "principles": [{"question": "Is it blue?", "category": "instruction_following"}],
        **changed,
    }


def tiger_row(one: str = "blue", two: str = "green", ranking: str = "A>B", **changed: Any) -> Row:
    return {
        "id": "abc_0",
        "dataset": "2pair",
        "instruction": "make it blue",
        "source_image": cell("red"),
        "candidate_1": cell(one),
        "candidate_2": cell(two),
        "comparison_type": "AvsB",
        "ranking": ranking,
        **changed,
    }


def genai_row(vote: str = "leftvote", **changed: Any) -> Row:
    return {
        "source_prompt": "a red wall",
        "target_prompt": "a blue wall",
        "instruct_prompt": "make it blue",
        "source_image": cell("red"),
        "left_model": "one",
        "left_output_image": cell("blue"),
        "right_model": "two",
        "right_output_image": cell("green"),
        "vote_type": vote,
        **changed,
    }


def _schema(rows: Sequence[Row]) -> pa.Schema:
    principle = pa.struct([("question", pa.string()), ("category", pa.string())])
    kinds: Mapping[str, Any] = {
        "key": pa.list_(pa.string(), 2),
        "output_images": pa.list_(IMAGE, 2),
        "principles": pa.list_(principle),
    }
    images = {"input_image", "source_image", "candidate_1", "candidate_2", "left_output_image", "right_output_image"}
    images |= {"source", "better", "worse"}
    return pa.schema(
        [(name, IMAGE if name in images else kinds.get(name, pa.string())) for name in dict.fromkeys(rows[0])]
    )


def write_parquet(file: Path, rows: Sequence[Row], row_group: int = 100) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=_schema(rows)), file, row_group_size=row_group)
    return file


def write_arrow(folder: Path, rows: Sequence[Row]) -> Path:
    """A folder as `datasets.save_to_disk` leaves it."""
    folder.mkdir(parents=True)
    table = pa.Table.from_pylist(rows, schema=_schema(rows))
    with pa.ipc.new_stream(str(folder / "data-00000-of-00001.arrow"), table.schema) as stream:
        stream.write_table(table)
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_split": "test"}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text("{}")
    return folder


def write_jsonl(file: Path, rows: Sequence[Row]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file
