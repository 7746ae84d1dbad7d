"""The examples of the service's page: three instructions, each with a good edit and others that went wrong somehow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from edit_rrm_training.shapes.edits import Edit, apply
from edit_rrm_training.shapes.examples import INSTRUCTION, example_scenes
from edit_rrm_training.shapes.render import render
from edit_rrm_training.shapes.scene import Background, Scene, Thing


@dataclass(frozen=True, slots=True)
class Story:
    """An instruction, its source, and what several editors made of it, the best one first."""

    name: str
    instruction: str
    source: Scene
    edit: Edit
    edits: Mapping[str, Scene]


def stories() -> list[Story]:
    """All of the page's examples."""
    source, edit, edits = example_scenes()
    return [Story("recolour", INSTRUCTION, source, edit, edits), _removed(), _background()]


def _removed() -> Story:
    circle = Thing(1, "circle", "orange", 12.0, 69.0, 15.0)
    square = Thing(2, "square", "purple", 12.0, 15.0, 41.0)
    diamond = Thing(3, "diamond", "white", 12.0, 43.0, 69.0)
    source = Scene(Background("plain", "navy"), (circle, square, diamond))
    edit = Edit("remove", square)
    edits = {
        "gone": apply(source, edit),
        "and-another-colour": apply(source, edit).with_thing(replace(circle, colour="green")),
        "the-wrong-one": source.without(diamond.uid),
    }
    return Story("remove", "remove the purple square", source, edit, edits)


def _background() -> Story:
    triangle = Thing(1, "triangle", "yellow", 12.0, 15.0, 15.0)
    cross = Thing(2, "cross", "red", 12.0, 69.0, 43.0)
    circle = Thing(3, "circle", "blue", 7.0, 41.0, 69.0)
    source = Scene(Background("plain", "gray"), (triangle, cross, circle))
    edit = Edit("background", background=Background("plain", "mint"))
    edits = {
        "mint": apply(source, edit),
        "without-the-cross": apply(source, edit).without(cross.uid),
        "untouched": source,
    }
    return Story("background", "make the background plain mint", source, edit, edits)


def write_page_examples(folder: Path) -> None:
    """Write a folder for each story: `source.png`, one PNG for each edit; and `examples.json`, which lists them."""
    index = []
    for story in stories():
        inside = folder / story.name
        inside.mkdir(parents=True, exist_ok=True)
        Image.fromarray(render(story.source)).save(inside / "source.png")
        for name, scene in story.edits.items():
            Image.fromarray(render(scene)).save(inside / f"{name}.png")
        index.append({"name": story.name, "instruction": story.instruction, "edits": list(story.edits)})
    (folder / "examples.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
