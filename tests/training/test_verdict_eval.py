"""The evaluation of verdicts, with judges whose figures are known beforehand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from edit_rrm.principles import Principle
from edit_rrm.verdicts import Aggregation, ErrorDetail, Mode, Outcome, Reward, Verdict
from edit_rrm_training.judge.verdict_eval import evaluate_verdicts
from edit_rrm_training.shapes import Sample

COUNT = 60
SAY = Callable[[Sample], Sequence[bool]]


def truth(sample: Sample) -> list[bool]:
    return [finding.passed for finding in sample.truth.findings]


def failure(outcome: Outcome, verdicts: tuple[Verdict, ...] = ()) -> Reward:
    return Reward(outcome=outcome, error=ErrorDetail(code=outcome.value, message="no"), verdicts=verdicts)


class Scripted:
    """A judge that says what a function of the sample says, and fails where it is told to."""

    def __init__(
        self, say: SAY, *, off_by: float = 0.0, fails: Callable[[Sample], Outcome | None] = lambda sample: None
    ) -> None:
        self._say = say
        self._off_by = off_by
        self._fails = fails

    def verify(self, sample: Sample, principles: Sequence[Principle], mode: Mode) -> Reward:
        verdicts = tuple(
            Verdict(principle=principle, passed=passed)
            for principle, passed in zip(principles, self._say(sample), strict=True)
        )
        outcome = self._fails(sample)
        if outcome is not None:
            # A failure that carries verdicts: they must not be counted.
            return failure(outcome, verdicts)
        right = sample.truth.score
        score = right - self._off_by if right >= self._off_by else right + self._off_by
        return Reward(
            outcome=Outcome.SCORED,
            score=score,
            reward=score / 10,
            average=0.5,
            aggregation=Aggregation.MEAN,
            mode=mode,
            verdicts=verdicts,
        )

    def decompose(self, sample: Sample) -> tuple[Principle, ...] | Outcome:
        if self._fails(sample) is not None:
            return Outcome.TRUNCATED
        return tuple(finding.principle for finding in sample.truth.findings)


def yes(sample: Sample) -> list[bool]:
    return [True] * len(sample.truth.findings)


def test_a_perfect_judge_is_right_about_everything() -> None:
    report = evaluate_verdicts(Scripted(truth), "held-out", COUNT, workers=4)
    for mode in ("think", "probe"):
        assert report[mode]["accuracy"]["value"] == 1.0
        assert report[mode]["balanced_accuracy"] == 1.0
        assert report[mode]["recall_of_no"]["value"] == 1.0
        assert report[mode]["scored"]["hits"] == COUNT
        assert report[mode]["outcomes"] == {"scored": COUNT}
    # Sixty edits without a mistake are no proof of a judge that makes none.
    assert report["think"]["accuracy"]["low"] < 0.96
    assert report["think"]["score_mean_absolute_error"] == 0.0
    assert report["decompose"] == {"exact": report["think"]["scored"], "outcomes": {"scored": COUNT}}


def test_a_judge_that_always_says_yes_gets_what_that_is_worth() -> None:
    report = evaluate_verdicts(Scripted(yes, off_by=1.0), "held-out", COUNT, workers=4)
    assert report["think"]["accuracy"] == report["always_yes"]
    assert 0.5 < report["always_yes"]["value"] < 1.0
    assert report["think"]["balanced_accuracy"] == 0.5
    assert report["think"]["recall_of_no"]["value"] == 0.0
    assert report["think"]["score_mean_absolute_error"] == pytest.approx(1.0)


def test_parts_add_up_to_the_whole() -> None:
    report = evaluate_verdicts(Scripted(yes), "held-out", COUNT, workers=4)["think"]
    for parts in ("by_category", "by_kind"):
        for counted in ("hits", "total"):
            assert sum(part[counted] for part in report[parts].values()) == report["accuracy"][counted]


def test_failed_outcomes_are_counted_apart_and_never_as_verdicts() -> None:
    def fails(sample: Sample) -> Outcome | None:
        return {0: Outcome.UNPARSABLE, 1: Outcome.TIMED_OUT}.get(sample.index % 3)

    whole = evaluate_verdicts(Scripted(truth), "held-out", COUNT, workers=4)
    report = evaluate_verdicts(Scripted(truth, fails=fails), "held-out", COUNT, workers=4)
    third = COUNT // 3
    assert report["think"]["outcomes"] == {"scored": third, "timed_out": third, "unparsable": third}
    assert report["think"]["scored"]["value"] == pytest.approx(1 / 3)
    assert report["think"]["accuracy"]["value"] == 1.0
    assert report["think"]["accuracy"]["total"] < whole["think"]["accuracy"]["total"]
    assert report["decompose"]["exact"]["hits"] == third
    assert report["decompose"]["outcomes"] == {"scored": third, "truncated": 2 * third}
    assert report["always_yes"] == whole["always_yes"]


def test_a_judge_that_never_answers_has_no_accuracy() -> None:
    report = evaluate_verdicts(Scripted(truth, fails=lambda sample: Outcome.ENGINE_ERROR), "train", 4, workers=2)
    assert report["think"]["accuracy"]["value"] is None
    assert report["think"]["balanced_accuracy"] is None
    assert report["think"]["score_mean_absolute_error"] is None
    assert report["think"]["scored"]["value"] == 0.0


def test_probing_can_be_left_out_and_progress_is_told() -> None:
    done: list[int] = []
    report = evaluate_verdicts(Scripted(truth), "validation", 5, workers=2, probe=False, progress=done.append)
    assert "probe" not in report
    assert done == [1, 2, 3, 4, 5]
    assert (report["split"], report["samples"]) == ("validation", 5)


def test_a_judge_that_breaks_stops_the_evaluation() -> None:
    def broken(sample: Sample) -> list[bool]:
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError, match="gone"):
        evaluate_verdicts(Scripted(broken), "train", 1_000, workers=2)
