"""What docs/editor-training.md says of runs whose judge is away or careless is what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.editor_runs import differences
from edit_rrm_training.editor.curves import read_run
from tests.training.editor.page import PAGE, RESULTS, gains, interval, shares

JUDGES = RESULTS / "judges"
EDITORS = {
    "failing-0": "one in twenty masked",
    "zeros-0": "one in twenty told as 0",
    "shipped-0": "the shipped judge, `think`",
    "careless-0": "the careless judge, `think`",
}


def loaded(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize(
    "folders",
    [
        (RESULTS / "two-seeds" / "product-0", JUDGES / "failing-0", JUDGES / "zeros-0"),
        (JUDGES / "shipped-0", JUDGES / "careless-0"),
    ],
    ids=["failures", "judges"],
)
def test_the_page_has_the_curves(folders: tuple[Path, ...]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    runs = [{one.step: one.evaluation for one in read_run(folder).evaluations} for folder in folders]
    together = sorted(set.intersection(*(set(run) for run in runs)))
    assert len(together) > 1
    for step in together:
        assert f"| {step} | {' | '.join(shares(run[step]) for run in runs)} |" in text


def test_as_much_was_lost_as_the_page_says() -> None:
    masked, zeros = (masks(name) for name in ("failing-0", "zeros-0"))
    assert f"{sum(masked) / len(masked):.1%} of edits were masked" in PAGE.read_text(encoding="utf-8")
    assert sum(zeros) == 0.0


def masks(name: str) -> list[float]:
    """Shares of edits that were masked, by step."""
    entries = map(json.loads, (JUDGES / name / "log.jsonl").read_text(encoding="utf-8").splitlines())
    return [entry["masked"] for entry in entries if "masked" in entry]


@pytest.mark.parametrize(("name", "told"), EDITORS.items())
def test_the_page_has_what_came_of_each(name: str, told: str) -> None:
    text = PAGE.read_text(encoding="utf-8")
    one = loaded(JUDGES / "report.json")["editors"][name]
    assert (one["split"], one["edits"]) == ("held-out", 500)
    assert f"| {told} | {interval(one['success'])} | {one['done']['value']:.1%} | {one['kept']['value']:.1%} |" in text
    assert f"| gained, {told} | {gains(one['gains'])} |" in text


@pytest.mark.parametrize(
    ("name", "other", "told"),
    [
        ("zeros-0", "failing-0", "told as 0, over masked"),
        ("shipped-0", "careless-0", "the shipped judge, over the careless one"),
    ],
)
def test_the_page_has_how_they_differ(name: str, other: str, told: str) -> None:
    editors = loaded(JUDGES / "report.json")["editors"]
    found = differences(editors[other], editors[name])
    assert f"| {told} | {gains(found)} |" in PAGE.read_text(encoding="utf-8")


def test_the_page_has_what_the_judges_know() -> None:
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    judges = loaded(JUDGES / "judges.json")
    careless = judges["careless"]
    assert f"{careless['teacher']['value']:.1%} of whose verdicts are true" in text
    assert f"no answer to {1 - careless['verdicts']['probe']['scored']['value']:.1%} of the samples" in text
    told = [judges[name]["rollouts"]["probe"]["agreement"]["success"]["pairs"] for name in ("shipped", "careless")]
    assert f"{told[0] - told[1]} of {told[0]} pairs were not measured" in text
    for name, judge in judges.items():
        for mode in ("think", "probe"):
            verdicts, rollouts = judge["verdicts"][mode], judge["rollouts"][mode]
            cells = [
                interval(verdicts["accuracy"]),
                interval(verdicts["recall_of_no"]),
                f"{rollouts['agreement']['success']['share']:.0%}",
                *(f"{rollouts['correlation'][measure]:.2f}" for measure in ("success", "done", "kept")),
            ]
            assert f"| {name}, `{mode}` | {' | '.join(cells)} |" in text
