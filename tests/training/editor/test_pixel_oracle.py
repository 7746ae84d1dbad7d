"""The oracle of pixels: passes what is right, roughly drawn too, and nothing of what real editors do wrong."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PIL import Image, ImageFilter

from edit_rrm_training.editor.nano.pixel_oracle import accepted, judge_pixels
from edit_rrm_training.editor.nano.tasks import KINDS, imperfect_target, make_task
from edit_rrm_training.shapes.faults import with_main_fault, with_side_fault
from edit_rrm_training.shapes.render import Pixels, render

COUNT = 120
MAIN = ("wrong_attribute", "wrong_object", "half_done", "displaced", "duplicated")
SIDE = ("collateral", "background", "shift")


def roughly(picture: Pixels, rng: np.random.Generator) -> Pixels:
    """As an editor with a VAE draws it: a little soft, a little noisy."""
    soft = np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(0.5)), np.float32)
    return np.clip(soft + rng.normal(0.0, 5.0, picture.shape), 0, 255).astype(np.uint8)


def test_what_is_right_passes_and_what_is_wrong_does_not() -> None:
    rng = np.random.default_rng(0)
    passed: Counter[str] = Counter()
    made: Counter[str] = Counter()
    for index in range(COUNT):
        task = make_task("validation", index)
        target = render(task.target)
        edits = {"perfect": target, "rough": roughly(target, rng), "nothing": render(task.source)}
        for fault in MAIN:
            scene = with_main_fault(rng, task.source, task.edit, fault)
            edits |= {} if scene is None else {fault: render(scene)}
        for fault in SIDE:
            scene = with_side_fault(rng, task.target, task.source, task.edit, fault)
            edits |= {} if scene is None else {fault: render(scene)}
        for name, edit in edits.items():
            made[name] += 1
            passed[name] += judge_pixels(task, edit).success
    assert passed["perfect"] == COUNT
    assert passed["rough"] >= 0.97 * COUNT
    assert passed["nothing"] == 0
    wrong = [*MAIN, *SIDE]
    assert sum(passed[name] for name in wrong) <= 0.04 * sum(made[name] for name in wrong)
    assert all(passed[name] <= 0.12 * made[name] for name in wrong), passed


def test_it_says_which_half_is_wrong() -> None:
    rng = np.random.default_rng(1)
    task = make_task("validation", KINDS.index("recolour"))
    untouched = judge_pixels(task, render(task.source))
    assert (untouched.done, untouched.kept) == (False, True)
    scene = with_side_fault(rng, task.target, task.source, task.edit, "background")
    assert scene is not None
    damaged = judge_pixels(task, render(scene))
    assert (damaged.done, damaged.kept) == (True, False)


@pytest.mark.parametrize("kind", ["add", "background"])
def test_what_an_instruction_leaves_open_is_open(kind: str) -> None:
    tasks = [make_task("validation", KINDS.index(kind) + len(KINDS) * number) for number in range(12)]
    assert max(len(list(accepted(task))) for task in tasks) > 1
    for task in tasks:
        scenes = list(accepted(task))
        for scene in (scenes[0], scenes[-1]):
            assert judge_pixels(task, render(scene)).success


def test_half_of_the_targets_are_perfect_and_the_same_again() -> None:
    tasks = [make_task("train", index) for index in range(200)]
    targets = [imperfect_target(task, 0.5) for task in tasks]
    perfect = sum(target == task.target for target, task in zip(targets, tasks, strict=True)) / 200
    assert 0.5 < perfect < 0.75
    assert targets == [imperfect_target(task, 0.5) for task in tasks]
    assert all(task.source.background.kind != "photo" for task in tasks)
    assert {task.edit.kind for task in tasks} == set(KINDS)
