"""The shapes world: deterministic, honest about what changed, and split by construction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edit_rrm.grammar import Judgement, format_judgement, format_principles, parse_judgement, parse_principles
from edit_rrm.principles import Category
from edit_rrm_training.shapes import SPLITS, Sample, make, principles, render
from edit_rrm_training.shapes.edits import EDIT_KINDS, apply, held_out
from edit_rrm_training.shapes.examples import example_scenes
from edit_rrm_training.shapes.faults import MAIN_FAULTS, SIDE_FAULTS, commit, with_main_fault, with_side_fault
from edit_rrm_training.shapes.oracle import judge
from edit_rrm_training.shapes.phrases import HELD_OUT, PHRASINGS
from edit_rrm_training.shapes.sheet import contact_sheet

MANY = 400


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return [make("train", index) for index in range(MANY)]


def test_samples_are_a_function_of_split_and_index() -> None:
    one, two = make("train", 7), make("train", 7)
    assert one == two
    assert np.array_equal(one.edited_pixels(), two.edited_pixels())
    assert make("validation", 7) != one


def test_an_unknown_split_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="held-out-combinations"):
        make("test", 0)


def test_every_kind_and_every_fault_occurs(samples: list[Sample]) -> None:
    assert {sample.edit.kind for sample in samples} == set(EDIT_KINDS)
    assert {sample.edited.main for sample in samples} == set(MAIN_FAULTS)
    assert {fault for sample in samples for fault in sample.edited.side} == set(SIDE_FAULTS)


def test_images_are_rgb_of_the_canvas_size(samples: list[Sample]) -> None:
    for sample in samples[:50]:
        for pixels in (sample.source_pixels(), sample.edited_pixels()):
            assert pixels.shape == (84, 84, 3)
            assert pixels.dtype == np.uint8


def test_the_perfect_edit_passes_every_principle_and_scores_ten(samples: list[Sample]) -> None:
    for sample in samples:
        truth = judge(sample.source, sample.edit, apply(sample.source, sample.edit))
        assert all(finding.passed for finding in truth.findings), (sample.index, truth)
        assert truth.score == 10.0


def test_the_untouched_source_follows_nothing_keeps_everything_and_scores_zero(samples: list[Sample]) -> None:
    for sample in samples:
        truth = judge(sample.source, sample.edit, sample.source)
        for finding in truth.findings:
            followed = finding.principle.category is Category.INSTRUCTION_FOLLOWING
            assert finding.passed is not followed, (sample.index, finding)
        assert truth.score == 0.0


def test_a_main_fault_breaks_a_principle_and_costs_points(samples: list[Sample]) -> None:
    for sample in samples:
        rng = np.random.default_rng(sample.index)
        for fault in MAIN_FAULTS[1:]:
            scene = with_main_fault(rng, sample.source, sample.edit, fault)
            if scene is not None:
                truth = judge(sample.source, sample.edit, scene)
                assert not all(finding.passed for finding in truth.findings), (sample.index, fault)
                assert truth.score < 10.0, (sample.index, fault)


def test_a_side_fault_breaks_what_was_to_be_kept_and_costs_points(samples: list[Sample]) -> None:
    for sample in samples:
        rng = np.random.default_rng(sample.index)
        perfect = apply(sample.source, sample.edit)
        for fault in SIDE_FAULTS:
            scene = with_side_fault(rng, perfect, sample.source, sample.edit, fault)
            if scene is None:
                continue
            truth = judge(sample.source, sample.edit, scene)
            broken = {finding.principle.category for finding in truth.findings if not finding.passed}
            assert broken, (sample.index, fault)
            assert truth.score < 10.0
            assert not np.array_equal(render(perfect), render(scene)), "a fault nobody can see"


def test_no_principle_is_always_met_or_never(samples: list[Sample]) -> None:
    """A principle that every edit meets would teach nothing and measure nothing."""
    seen: dict[tuple[str, str], set[bool]] = {}
    for sample in [*samples, *(make("train", index) for index in range(MANY, 3 * MANY))]:
        for finding in sample.truth.findings:
            start = " ".join(finding.principle.question.split()[:3])
            seen.setdefault((sample.edit.kind, start), set()).add(finding.passed)
    constant = {key for key, values in seen.items() if len(values) == 1}
    assert not {
        key for key in constant if key[1] in ("Does it keep", "Are the other", "Are background and", "Is the image")
    }


def test_principles_depend_on_the_request_alone(samples: list[Sample]) -> None:
    for sample in samples:
        found = tuple(finding.principle for finding in sample.truth.findings)
        assert found == principles(sample.source, sample.edit)
        assert len({principle.question for principle in found}) == len(found)
        order = [list(Category).index(principle.category) for principle in found]
        assert order == sorted(order)
        assert set(order) == {0, 1, 2}


def test_trajectories_are_read_back_by_the_grammar(samples: list[Sample]) -> None:
    for sample in samples:
        findings = sample.truth.findings
        asked = [finding.principle for finding in findings]
        passed = [finding.passed for finding in findings]
        read = parse_judgement(format_judgement([f.reason for f in findings], passed, sample.truth.score), asked)
        assert isinstance(read, Judgement)
        assert read.passed == tuple(passed)
        assert read.score == sample.truth.score
        assert read.rationales == tuple(finding.reason for finding in findings)
        assert parse_principles(format_principles(asked)) == tuple(asked)


def test_held_out_combinations_are_only_in_their_split(samples: list[Sample]) -> None:
    assert not any(held_out(combination) for sample in samples for combination in sample.edit.combinations)
    for index in range(100):
        assert any(map(held_out, make("held-out-combinations", index).edit.combinations))


def test_held_out_phrasings_are_only_in_their_split(samples: list[Sample]) -> None:
    openings = {
        kind: {phrasing.split("{")[0] for phrasing in phrasings[-HELD_OUT:]} for kind, phrasings in PHRASINGS.items()
    }
    assert all(len(phrasings) == 8 and len(set(phrasings)) == 8 for phrasings in PHRASINGS.values())
    assert "exchange the " in openings["replace"]
    assert not any(sample.instruction.startswith("exchange the ") for sample in samples)
    held = [make("held-out-phrasings", index).instruction for index in range(200)]
    assert any(instruction.startswith("exchange the ") for instruction in held)
    assert not any(instruction.startswith("swap the ") for instruction in held)


def test_splits_have_distinct_seeds() -> None:
    assert len(set(SPLITS.values())) == len(SPLITS)


def test_an_identical_image_scores_zero_even_where_the_scene_was_rebuilt(samples: list[Sample]) -> None:
    copy = replace(samples[0].source, things=tuple(replace(thing) for thing in samples[0].source.things))
    assert judge(samples[0].source, samples[0].edit, copy).score == 0.0


def test_commit_is_reproducible(samples: list[Sample]) -> None:
    sample = samples[3]
    one = commit(np.random.default_rng(1), sample.source, sample.edit)
    assert one == commit(np.random.default_rng(1), sample.source, sample.edit)


def test_the_demo_examples_rank_as_they_should() -> None:
    source, edit, edits = example_scenes()
    scores = {name: judge(source, edit, scene).score for name, scene in edits.items()}
    assert scores["good"] > scores["collateral"] > scores["untouched"] == 0.0


def test_a_contact_sheet_shows_every_sample(samples: list[Sample]) -> None:
    sheet = contact_sheet(samples[:6], columns=3)
    assert sheet.width == 3 * contact_sheet(samples[:1]).width
    assert sheet.height == 2 * contact_sheet(samples[:1]).height
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([])


def test_vowels_take_an() -> None:
    told = [make(split, index).instruction for split in ("train", "held-out-phrasings") for index in range(MANY)]
    assert any(" an orange " in text for text in told)
    assert not [text for text in told if " a orange " in text]
