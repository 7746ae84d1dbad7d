"""How often a served judge's verdicts are true, measured on the shapes world through the service's own HTTP.

For every sample the judge is asked three things: to verify the oracle's principles by thinking, to verify them by
probing, and to decompose the instruction. What was not scored is counted apart and never taken for a verdict.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from edit_rrm.principles import Category, Principle
from edit_rrm.verdicts import Mode, Outcome, Reward
from edit_rrm_training.judge.intervals import Share, clustered, wilson
from edit_rrm_training.shapes import Sample, make


class JudgeApi(Protocol):
    """What the evaluation asks of a judge; the client package provides it."""

    def verify(self, sample: Sample, principles: Sequence[Principle], mode: Mode) -> Reward:
        """Judge a sample's edit by the given principles."""
        ...

    def decompose(self, sample: Sample) -> tuple[Principle, ...] | Outcome:
        """Break a sample's instruction into principles, or say what came instead."""
        ...


@dataclass(frozen=True, slots=True)
class SampleResult:
    """What a judge said about one sample."""

    kind: str
    truth: tuple[bool, ...]
    categories: tuple[Category, ...]
    score: float
    think: Reward
    probe: Reward | None
    decomposed: bool | Outcome
    """Whether the principles equal the oracle's, or the outcome where there are none."""


@dataclass(frozen=True, slots=True)
class _Check:
    """One verdict held against the truth."""

    sample: int
    kind: str
    category: Category
    truth: bool
    right: bool


def evaluate_verdicts(
    judge: JudgeApi,
    split: str,
    count: int,
    *,
    workers: int = 32,
    probe: bool = True,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, Any]:
    """Measure a judge on the first `count` samples of a split.

    Args:
        judge: Who to ask.
        split: A split of the shapes world.
        count: Samples, at least 1.
        workers: Samples in flight at a time.
        probe: Whether to measure mode `probe` as well.
        progress: Called with the number of samples done.

    Returns:
        A report ready for JSON; see `summarise`.
    """
    results: list[SampleResult] = []
    with ThreadPoolExecutor(workers) as pool:
        for result in pool.map(lambda index: _ask(judge, make(split, index), probe), range(count)):
            results.append(result)
            progress(len(results))
    return {"split": split, "samples": count, **summarise(results)}


def summarise(results: Sequence[SampleResult]) -> dict[str, Any]:
    """Turn per-sample results into shares with 95% intervals.

    Returns:
        For each mode the accuracy over the scored samples' verdicts (intervals clustered by sample), the balanced
        accuracy (mean of those on true and on untrue principles: 0.5 for a judge that always says yes), the share of
        samples scored (what Φ accepted) and the outcomes of the others; for decomposition the share of exact matches;
        for `think` the mean absolute error of the score; and what answering "yes" would give.
    """
    report: dict[str, Any] = {
        "always_yes": _share(clustered([(sum(result.truth), len(result.truth)) for result in results])),
        "think": _mode_report(results, [result.think for result in results]),
    }
    scored = [result for result in results if result.think.score is not None]
    errors = [abs(result.think.score - result.score) for result in scored if result.think.score is not None]
    report["think"]["score_mean_absolute_error"] = sum(errors) / len(errors) if errors else None
    probed = [result for result in results if result.probe is not None]
    if probed:
        report["probe"] = _mode_report(probed, [result.probe for result in probed if result.probe is not None])
    matches = sum(result.decomposed is True for result in results)
    report["decompose"] = {
        "exact": _share(wilson(matches, len(results))),
        "outcomes": _counts(
            result.decomposed.value if isinstance(result.decomposed, Outcome) else "scored" for result in results
        ),
    }
    return report


def headline(report: dict[str, Any]) -> dict[str, Any]:
    """The figures of a report that a judge card carries, and the command that prints the whole of it."""
    modes: dict[str, dict[str, Any]] = {
        mode: {name: report[mode][name] for name in ("accuracy", "balanced_accuracy", "recall_of_no", "scored")}
        for mode in ("think", "probe")
        if mode in report
    }
    modes["think"]["score_mean_absolute_error"] = report["think"]["score_mean_absolute_error"]
    return {
        "command": f"edit-rrm eval verdicts --split {report['split']} --n {report['samples']} --json",
        "samples": report["samples"],
        "always_yes": report["always_yes"],
        **modes,
        "decompose": {"exact": report["decompose"]["exact"]},
    }


def _ask(judge: JudgeApi, sample: Sample, probe: bool) -> SampleResult:
    findings = sample.truth.findings
    principles = tuple(finding.principle for finding in findings)
    decomposed = judge.decompose(sample)
    return SampleResult(
        kind=sample.edit.kind,
        truth=tuple(finding.passed for finding in findings),
        categories=tuple(principle.category for principle in principles),
        score=sample.truth.score,
        think=judge.verify(sample, principles, Mode.THINK),
        probe=judge.verify(sample, principles, Mode.PROBE) if probe else None,
        decomposed=decomposed if isinstance(decomposed, Outcome) else decomposed == principles,
    )


def _mode_report(results: Sequence[SampleResult], rewards: Sequence[Reward]) -> dict[str, Any]:
    checks = [
        _Check(index, result.kind, category, truth, truth == verdict.passed)
        for index, (result, reward) in enumerate(zip(results, rewards, strict=True))
        if reward.outcome is Outcome.SCORED
        for truth, category, verdict in zip(result.truth, result.categories, reward.verdicts, strict=True)
    ]
    on_true = _accuracy(check for check in checks if check.truth)
    on_untrue = _accuracy(check for check in checks if not check.truth)
    known = [share.value for share in (on_true, on_untrue) if share.value is not None]
    scored = sum(reward.outcome is Outcome.SCORED for reward in rewards)
    return {
        "accuracy": _share(_accuracy(checks)),
        "balanced_accuracy": sum(known) / len(known) if known else None,
        "recall_of_no": _share(on_untrue),
        "scored": _share(wilson(scored, len(results))),
        "outcomes": _counts(reward.outcome.value for reward in rewards),
        "by_category": {
            category.value: _share(_accuracy(check for check in checks if check.category is category))
            for category in Category
        },
        "by_kind": {
            kind: _share(_accuracy(check for check in checks if check.kind == kind))
            for kind in sorted({result.kind for result in results})
        },
    }


def _accuracy(checks: Iterable[_Check]) -> Share:
    """Share of verdicts that are true; those on one sample are one cluster."""
    clusters: dict[int, list[bool]] = {}
    for check in checks:
        clusters.setdefault(check.sample, []).append(check.right)
    return clustered([(sum(rights), len(rights)) for rights in clusters.values()])


def _counts(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _share(share: Share) -> dict[str, Any]:
    return asdict(share)
