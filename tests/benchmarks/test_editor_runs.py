"""How finished runs are put together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import editor_runs
from benchmarks.editor_runs import _further, _measures, _seconds, _seeds, _told, differences
from edit_rrm_training.editor.evaluation import EditorReport
from edit_rrm_training.editor.nano.pixel_oracle import PixelVerdict


def test_runs_that_differ_in_their_seed_are_of_one_kind() -> None:
    names = ["good-0", "good-1", "no-verifier-0", "other"]
    assert _seeds(names) == {"good": ["good-0", "good-1"], "no-verifier": ["no-verifier-0"], "other": ["other"]}


def test_seconds_are_means_over_steps_and_not_over_evaluations(tmp_path: Path) -> None:
    step = {"sampling_s": 2.0, "scoring_s": 1.0, "waited_s": 0.0, "updating_s": 3.0, "hidden": 1.0}
    entries = [{"evaluation": {"judge": 0.5}}, {"step": 0, **step}, {"step": 1, **step, "sampling_s": 4.0}]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    assert _seconds(tmp_path) == pytest.approx({**step, "sampling_s": 3.0})


def test_editors_further_on_are_of_a_kind_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    merged: list[tuple[list[Path], Path, float]] = []
    monkeypatch.setattr(editor_runs, "merge_editors", lambda made, out, *, scale: merged.append((made, out, scale)))
    found = _further({"good-0": tmp_path / "good-0" / "editor"}, 1.5)
    assert found == {"good-further-0": tmp_path / "good-0" / "further"}
    assert merged == [([tmp_path / "good-0" / "editor"], tmp_path / "good-0" / "further", 1.5)]
    assert set(_seeds(["good-0", *found])) == {"good", "good-further"}


def measured(*verdicts: tuple[bool, bool]) -> EditorReport:
    return EditorReport("held-out", 12, ("add",) * len(verdicts), tuple(PixelVerdict(*one) for one in verdicts))


def test_editors_of_two_reports_are_compared_task_by_task(tmp_path: Path) -> None:
    first, second = (
        measured((True, True), (True, False), (False, True)),
        measured((True, True), (True, True), (False, True)),
    )
    path = tmp_path / "a:b" / "report.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"before": _told(first), "editors": {"good-0": _told(second)}}))
    before, good = _measures(f"{path}:before"), _measures(f"{path}:good-0")
    assert before["outcomes"] == {"success": "100", "done": "110", "kept": "101"}
    found = differences(before, good)
    assert {name: round(one["value"], 3) for name, one in found.items()} == {
        "success": 0.333,
        "done": 0.0,
        "kept": 0.333,
    }
    assert found["success"]["low"] < 0 < found["success"]["high"], "one task of three is no evidence"


@pytest.mark.parametrize("other", [{"split": "validation"}, {"steps": 6}, {"edits": 2}])
def test_editors_of_other_tasks_are_not_compared(other: dict[str, object]) -> None:
    one = _told(measured((True, True), (True, False), (False, True)))
    with pytest.raises(ValueError, match=r"on the same tasks: one has .*, the other .*"):
        differences(one, one | other)


def test_a_report_that_cannot_be_compared_says_why(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps({"before": {}, "editors": {"good-0": {}}}))
    with pytest.raises(SystemExit, match="no editor 'good'; it has before, good-0"):
        _measures(f"{path}:good")
    with pytest.raises(SystemExit, match="measure its editors again"):
        _measures(f"{path}:good-0")
