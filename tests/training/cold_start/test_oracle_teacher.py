"""Noisy readers of the shapes world: deterministic, wrong at the stated rates, and consistent in what they say."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from edit_rrm.grammar import Judgement, parse_judgement, parse_principles
from edit_rrm.principles import Category, Principle
from edit_rrm_training.judge.cold_start.config import Columns, Noise, ShapesTeacher, load_config
from edit_rrm_training.judge.cold_start.errors import AnswerError, ColdStartError
from edit_rrm_training.judge.cold_start.gold import Gold, parse_gold
from edit_rrm_training.judge.cold_start.mixing import parse_triage
from edit_rrm_training.judge.cold_start.rows import EditRow, open_rows
from edit_rrm_training.judge.cold_start.teachers.oracle import ShapesReader, finished, sample_of, turned
from edit_rrm_training.shapes import Sample, judge, make
from tests.training.cold_start.people import ListedRows, triples

MANY = 120


def reader(flip: float = 0.0, **changes: Any) -> ShapesReader:
    values: dict[str, Any] = {
        "flip": dict.fromkeys(Category, flip),
        "miss_magnitude": 0.0,
        "score_bias": 0.0,
        "score_spread": 0.0,
    }
    return ShapesReader("reader", Noise.model_validate(values | changes))


@pytest.fixture(scope="module")
def rows() -> list[tuple[EditRow, Sample]]:
    found = []
    for index, load in zip(range(MANY), open_rows("shapes:train", Columns()), strict=False):
        row = load()
        assert isinstance(row, EditRow)
        found.append((row, make("train", index)))
    return found


def principles(sample: Sample) -> tuple[Principle, ...]:
    return tuple(finding.principle for finding in sample.truth.findings)


def truth(sample: Sample) -> tuple[bool, ...]:
    return tuple(finding.passed for finding in sample.truth.findings)


def thought(teacher: ShapesReader, row: EditRow, sample: Sample, seed: int = 7) -> Judgement:
    found = parse_judgement(asyncio.run(teacher.think(row, principles(sample), seed)), principles(sample))
    assert isinstance(found, Judgement)
    return found


def test_a_reader_without_noise_says_the_truth(rows: list[tuple[EditRow, Sample]]) -> None:
    teacher = reader()
    for row, sample in rows[:40]:
        said = thought(teacher, row, sample)
        assert (said.passed, said.score) == (truth(sample), sample.truth.score)
        assert parse_principles(asyncio.run(teacher.write(row, (), 0))) == principles(sample)
        gold = parse_gold(asyncio.run(teacher.verify(row, principles(sample), (), 0)), principles(sample))
        assert isinstance(gold, Gold)
        assert gold.passed == truth(sample)


def test_the_same_seed_gives_the_same_reading(rows: list[tuple[EditRow, Sample]]) -> None:
    teacher = reader(0.3, score_spread=2.0)
    row, sample = rows[0]
    assert thought(teacher, row, sample, 1) == thought(teacher, row, sample, 1)
    assert len({thought(teacher, row, sample, seed).score for seed in range(8)}) > 1


def test_verdicts_flip_at_their_rate_with_reasons_that_fit(rows: list[tuple[EditRow, Sample]]) -> None:
    noise = {"miss_magnitude": 0.0, "score_bias": 0.0, "score_spread": 0.0}
    rates = {"instruction_following": 0.0, "feature_preservation": 0.25, "image_quality": 0.0}
    teacher = ShapesReader("reader", Noise.model_validate(noise | {"flip": rates}))
    flipped = total = explained = 0
    for row, sample in rows:
        said = thought(teacher, row, sample, int(row.id[:6], 16))
        for finding, passed, rationale in zip(sample.truth.findings, said.passed, said.rationales, strict=True):
            if finding.principle.category is not Category.FEATURE_PRESERVATION:
                assert passed == finding.passed
                continue
            total += 1
            if passed != finding.passed:
                flipped += 1
                explained += rationale not in (finding.reason, "as it should be", "not as it should be")
    assert 0.18 < flipped / total < 0.32
    assert explained / flipped > 0.8


def test_a_turned_finding_has_the_opposite_verdict(rows: list[tuple[EditRow, Sample]]) -> None:
    import numpy as np

    rng = np.random.default_rng(0)
    for _, sample in rows[:30]:
        for index, finding in enumerate(sample.truth.findings):
            other = turned(rng, sample, sample.edited.scene, index)
            assert other.passed != finding.passed
            assert other.principle == finding.principle


def test_a_missed_magnitude_takes_half_done_for_done(rows: list[tuple[EditRow, Sample]]) -> None:
    teacher = reader(miss_magnitude=1.0)
    fooled = 0
    for row, sample in rows:
        said = thought(teacher, row, sample)
        halfway = sample.edited.main in ("half_done", "displaced")
        if not halfway:
            assert said.passed == truth(sample)
        for passed, met in zip(said.passed, truth(sample), strict=True):
            assert passed >= met, "it only ever makes an edit look better"
        if sample.edited.main == "half_done" and not sample.edited.side:
            assert all(said.passed), sample.edit.kind
            assert said.score == 10.0
            fooled += 1
    assert fooled > 3
    # Damage elsewhere is still seen.
    for _, sample in rows:
        fixed = judge(sample.source, sample.edit, finished(sample)).findings
        for finding, true in zip(fixed, sample.truth.findings, strict=True):
            if true.principle.category is Category.IMAGE_QUALITY:
                assert finding.passed == true.passed


def test_scores_are_biased_spread_and_in_range(rows: list[tuple[EditRow, Sample]]) -> None:
    teacher = reader(score_bias=1.0, score_spread=1.0)
    errors = []
    for row, sample in rows:
        score = thought(teacher, row, sample, int(row.id[:6], 16)).score
        assert 0.0 <= score <= 10.0
        if 3.0 <= sample.truth.score <= 6.0:
            errors.append(score - sample.truth.score)
    mean = sum(errors) / len(errors)
    assert 0.6 < mean < 1.4
    assert sum((error - mean) ** 2 for error in errors) / len(errors) > 0.4


def test_babble_and_refusal(rows: list[tuple[EditRow, Sample]]) -> None:
    row, sample = rows[0]
    asked = principles(sample)
    babble = asyncio.run(reader(babble=1.0).think(row, asked, 0))
    assert not isinstance(parse_judgement(babble, asked), Judgement)
    assert not isinstance(parse_gold(asyncio.run(reader(babble=1.0).verify(row, asked, (), 0)), asked), Gold)
    for ask in (reader(refuse=1.0).think(row, asked, 0), reader(refuse=1.0).verify(row, asked, (), 0)):
        with pytest.raises(AnswerError) as error:
            asyncio.run(ask)
        assert error.value.reason == "refused"


def test_a_swayed_verifier_says_what_most_candidates_say(rows: list[tuple[EditRow, Sample]]) -> None:
    row, sample = rows[0]
    asked = principles(sample)
    wrong = asyncio.run(reader(flip=1.0).think(row, asked, 0))
    right = asyncio.run(reader().think(row, asked, 0))
    swayed = reader(swayed=1.0)
    for hints, expected in {
        (wrong, wrong, right): tuple(not verdict for verdict in truth(sample)),
        (wrong, right): truth(sample),
        ("babble",): truth(sample),
    }.items():
        gold = parse_gold(asyncio.run(swayed.verify(row, asked, hints, 0)), asked)
        assert isinstance(gold, Gold)
        assert gold.passed == expected


def test_hard_kinds(rows: list[tuple[EditRow, Sample]]) -> None:
    told = {sample.edit.kind: parse_triage(asyncio.run(reader().classify(row, 0))) for row, sample in rows[:10]}
    assert told["compound"] is True
    assert told["move"] is True
    assert told["recolour"] is False


def test_other_rows_and_other_principles_are_not_answered(rows: list[tuple[EditRow, Sample]]) -> None:
    foreign = next(iter(ListedRows(triples(1))))()
    assert isinstance(foreign, EditRow)
    assert sample_of(foreign.origin) is None
    with pytest.raises(ColdStartError, match="knows nothing of listed/0; use --data shapes:SPLIT"):
        asyncio.run(reader().write(foreign, (), 0))
    row, sample = rows[0]
    with pytest.raises(AnswerError, match="own principles"):
        asyncio.run(reader().think(row, principles(sample)[::-1], 0))


def test_the_verifier_that_ships_errs_less_than_every_teacher_and_still_errs() -> None:
    config = load_config("noisy")
    noises = {name: teacher.noise for name, teacher in config.teachers.items() if isinstance(teacher, ShapesTeacher)}
    assert config.verifier is not None
    verifier = noises.pop(config.verifier.teacher)
    for noise in noises.values():
        assert noise.miss_magnitude > verifier.miss_magnitude > 0.0
        assert all(noise.flip[category] > verifier.flip[category] > 0.0 for category in Category)
