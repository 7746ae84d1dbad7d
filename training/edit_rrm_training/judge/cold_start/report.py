"""What came of a run: rows by fate, and on the shapes world how true verdicts are, with and without a verifier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edit_rrm.principles import Category, Principle
from edit_rrm_training.judge.cold_start.folder import Steps
from edit_rrm_training.judge.cold_start.mixing import Pool
from edit_rrm_training.judge.cold_start.pipeline import Pipeline
from edit_rrm_training.judge.cold_start.rows import SHAPES
from edit_rrm_training.judge.cold_start.selector import Candidate, agreement, first, select
from edit_rrm_training.judge.intervals import Share, clustered, wilson


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What was said about one edit, beside what is true of it."""

    truth: tuple[bool, ...]
    categories: tuple[Category, ...]
    passed: tuple[bool, ...]


def counts(steps: Steps, *, verified: bool) -> dict[str, Any]:
    """What became of every input row, and of every candidate.

    Returns:
        `input` rows by pool or the reason why they were refused; `rows` taken by fate, `selected` or why not;
        `candidates` by `parsed` or why not; `gold` answers likewise; `teachers` of the selected candidates.
    """
    looked_at, fates = Counter[str](), Counter[str]()
    candidates, gold, teachers = Counter[str](), Counter[str](), Counter[str]()
    for record in steps.mix.records():
        looked_at[record.get("failure") or ("unclassified" if "unclassified" in record else record["pool"])] += 1
        if record["pool"] != Pool.LEFT_OUT:
            fates[_fate(steps, record, verified=verified)] += 1
    for record in steps.candidates.records():
        candidates.update(item.get("failure", "parsed") for item in record["candidates"])
    for record in steps.gold.records():
        gold[record.get("failure", "parsed")] += 1
    for record in steps.selected.records():
        kept, found = record.get("candidate"), steps.candidates.get(record["id"])
        if kept is not None and found is not None:
            teachers[found["candidates"][kept]["teacher"]] += 1
    named = {"input": looked_at, "rows": fates, "candidates": candidates, "gold": gold, "teachers": teachers}
    return {name: dict(sorted(counter.items())) for name, counter in named.items()}


def _fate(steps: Steps, record: dict[str, Any], *, verified: bool) -> str:
    principles = steps.principles.get(record["task"])
    if principles is None:
        return "unanswered: principles"
    if "failure" in principles:
        return f"principles: {principles['failure']}"
    if record["id"] not in steps.candidates:
        return "unanswered: candidates"
    selected = steps.selected.get(record["id"])
    if selected is None:
        return "unanswered: gold" if verified else "unanswered: candidates"
    return str(selected.get("failure", "selected"))


def truthfulness(pipeline: Pipeline, steps: Steps) -> dict[str, Any] | None:
    """How often verdicts equal the oracle's on rows of the shapes world; None where there are no such rows.

    Everything is measured on the same rows: those with a readable candidate and, if any row has gold, with gold.

    Returns:
        Accuracy, all-right and accuracy on unmet principles of `first_that_parses` (no verifier), where there is gold
        of `closest_to_gold` and `gold` itself, and of `all_candidates` and `best_candidate` to hold them against.
    """
    has_gold = any("gold" in record for record in steps.gold.records())
    said: dict[str, list[list[Verdicts]]] = {}
    for truth, principles, candidates, gold in _judged(pipeline, steps):
        if has_gold and gold is None:
            continue
        categories = tuple(principle.category for principle in principles)
        readings: dict[str, Sequence[Candidate | None]] = {"first_that_parses": [first(candidates)]}
        if gold is not None:
            readings["closest_to_gold"] = [select(candidates, gold)]
        readings["all_candidates"] = candidates
        readings["best_candidate"] = [max(candidates, key=lambda item: agreement(item.passed, truth))]
        for name, kept in readings.items():
            passed = [item.passed for item in kept if item is not None]
            said.setdefault(name, []).append([Verdicts(truth, categories, verdicts) for verdicts in passed])
        if gold is not None:
            said.setdefault("gold", []).append([Verdicts(truth, categories, gold)])
    if not said:
        return None
    return {"rows": len(said["first_that_parses"]), **{name: shares(rows) for name, rows in said.items()}}


def shares(rows: Sequence[Sequence[Verdicts]]) -> dict[str, Any]:
    """Accuracy of verdicts with 95% intervals clustered by row, in all, by category, and where the truth is no."""
    return {
        "accuracy": asdict(_accuracy(rows, lambda truth, category: True)),
        "accuracy_on_unmet": asdict(_accuracy(rows, lambda truth, category: not truth)),
        "by_category": {
            name.value: asdict(_accuracy(rows, lambda truth, category, name=name: category is name))
            for name in Category
        },
        "all_right": asdict(_all_right(rows)),
    }


def _accuracy(rows: Iterable[Sequence[Verdicts]], counted: Any) -> Share:
    clusters = []
    for row in rows:
        right = [
            verdict == truth
            for said in row
            for verdict, truth, category in zip(said.passed, said.truth, said.categories, strict=True)
            if counted(truth, category)
        ]
        clusters.append((sum(right), len(right)))
    return clustered(clusters)


def _all_right(rows: Sequence[Sequence[Verdicts]]) -> Share:
    if all(len(row) == 1 for row in rows):
        return wilson(sum(row[0].passed == row[0].truth for row in rows), len(rows))
    return clustered([(sum(said.passed == said.truth for said in row), len(row)) for row in rows])


def _judged(
    pipeline: Pipeline, steps: Steps
) -> Iterator[tuple[tuple[bool, ...], tuple[Principle, ...], list[Candidate], tuple[bool, ...] | None]]:
    for record in steps.mix.records():
        if record["pool"] == Pool.LEFT_OUT or not record["origin"].startswith(SHAPES):
            continue
        # Imported here: input of another kind needs neither the shapes world nor its dependencies.
        from edit_rrm_training.judge.cold_start.teachers.oracle import sample_of

        sample, principles = sample_of(record["origin"]), pipeline.principles_of(record["task"])
        candidates = pipeline.candidates_of(record)
        if sample is None or not candidates or principles is None:
            continue
        if principles != tuple(finding.principle for finding in sample.truth.findings):
            continue  # another teacher's principles, of which the oracle knows nothing
        gold = steps.gold.get(record["id"])
        verdicts = None if gold is None or "failure" in gold else tuple(item == 1 for item in gold["gold"])
        yield tuple(finding.passed for finding in sample.truth.findings), principles, candidates, verdicts
