"""How finished runs are put together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import editor_runs
from benchmarks.editor_runs import _further, _seconds, _seeds


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
