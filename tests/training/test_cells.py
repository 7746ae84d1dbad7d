"""What the auxiliary heads are asked is what the scenes hold."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch

from edit_rrm_training.judge.architecture import CELL, IMAGE_TOKENS, SIDE
from edit_rrm_training.judge.cells import (
    COMPARING,
    SEEING,
    UNASKED,
    cell_head,
    cell_loss,
    comparing_answers,
    seeing_answers,
)
from edit_rrm_training.shapes import Sample, make
from edit_rrm_training.shapes.vocabulary import COLOURS, PLACES, SHAPES

SAMPLES = [make("validation", index) for index in range(200)]


def column(questions: Mapping[str, int], name: str) -> int:
    return list(questions).index(name)


def test_every_answer_is_one_of_its_question() -> None:
    for sample in SAMPLES:
        both = ((seeing_answers(sample.source), SEEING), (comparing_answers(sample), COMPARING))
        for answers, questions in both:
            for index, count in enumerate(questions.values()):
                asked = answers[:, index][answers[:, index] != UNASKED]
                assert ((asked >= 0) & (asked < count)).all()


def test_a_source_object_fills_the_cell_of_its_place() -> None:
    for sample in SAMPLES:
        answers = seeing_answers(sample.source)
        assert answers[:, column(SEEING, "object")].sum() == len(sample.source.things)
        for thing in sample.source.things:
            across, down = PLACES[thing.place]
            row = answers[down * SIDE + across]
            assert row[column(SEEING, "shape")] == SHAPES.index(thing.shape)
            assert row[column(SEEING, "colour")] == list(COLOURS).index(thing.colour)


def untouched(sample: Sample) -> bool:
    return sample.edited.scene == sample.source


@pytest.mark.parametrize("question", ["fate", "background_changed", "light_changed"])
def test_nothing_became_of_an_untouched_copy(question: str) -> None:
    copies = [sample for sample in SAMPLES if untouched(sample)]
    assert len(copies) >= 5
    for sample in copies:
        assert (comparing_answers(sample)[IMAGE_TOKENS:, column(COMPARING, question)] == 0).all()


def test_what_happened_to_an_object_is_told_of_its_cell() -> None:
    fates = {"removed": 0, "recoloured": 0}
    for sample in SAMPLES:
        answers = comparing_answers(sample)[IMAGE_TOKENS:, column(COMPARING, "fate")]
        for thing in sample.source.things:
            now = sample.edited.scene.thing(thing.uid)
            cell = int(thing.y // CELL) * SIDE + int(thing.x // CELL)
            crowded = any(
                int(other.y // CELL) * SIDE + int(other.x // CELL) == cell
                for other in sample.edited.scene.things
                if other.uid != thing.uid
            )
            if now is None and not crowded:
                assert answers[cell] == 1
                fates["removed"] += 1
            elif now is not None and now.colour != thing.colour and now.shape == thing.shape:
                assert answers[cell] in (4, 1)
                fates["recoloured"] += 1
    assert min(fates.values()) >= 5


def test_a_head_learns_what_its_features_hold() -> None:
    torch.manual_seed(0)
    answers = torch.from_numpy(np.concatenate([seeing_answers(sample.source) for sample in SAMPLES]))
    known = answers.clamp(min=0)
    features = torch.cat([torch.nn.functional.one_hot(asked, 9) for asked in known.T], 1).float()
    head = cell_head(features.shape[1], SEEING)
    optimiser = torch.optim.Adam(head.parameters(), lr=0.05)
    first, _ = cell_loss(head, SEEING, features, answers)
    loss, accuracy = first, {"": 0.0}
    for _ in range(60):
        loss, accuracy = cell_loss(head, SEEING, features, answers)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.2 * first.item()
    assert min(accuracy.values()) > 0.95
