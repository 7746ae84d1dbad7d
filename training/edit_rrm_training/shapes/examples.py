"""The three edits of one source that the demo judges: a good one, one with collateral damage, an untouched copy."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from PIL import Image

from edit_rrm_training.shapes.edits import Edit, apply
from edit_rrm_training.shapes.oracle import judge
from edit_rrm_training.shapes.render import render
from edit_rrm_training.shapes.scene import Background, Scene, Thing

INSTRUCTION = "make the red star blue"


def example_scenes() -> tuple[Scene, Edit, dict[str, Scene]]:
    """The source, the edit, and what three editors made of it."""
    star = Thing(1, "star", "red", 12.0, 41.0, 15.0)
    circle = Thing(2, "circle", "yellow", 12.0, 15.0, 43.0)
    square = Thing(3, "square", "green", 7.0, 70.0, 69.0)
    source = Scene(Background("checks", "beige", 3), (star, circle, square))
    edit = Edit("recolour", star, colour="blue")
    good = apply(source, edit)
    collateral = good.with_thing(replace(circle, colour="purple")).without(square.uid)
    return source, edit, {"good": good, "collateral": collateral, "untouched": source}


def write_examples(folder: Path) -> None:
    """Write `source.png`, one PNG per edit, and `examples.json` with the instruction and the oracle's scores."""
    folder.mkdir(parents=True, exist_ok=True)
    source, edit, edits = example_scenes()
    Image.fromarray(render(source)).save(folder / "source.png")
    rows = []
    for name, scene in edits.items():
        Image.fromarray(render(scene)).save(folder / f"{name}.png")
        rows.append({"name": name, "edited": f"{name}.png", "oracle_score": judge(source, edit, scene).score})
    index = {"instruction": INSTRUCTION, "source": "source.png", "edits": rows}
    (folder / "examples.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
