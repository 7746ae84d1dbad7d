"""The benchmark of the client runs, and what it shows holds here too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.client_overhead import main

PROMISED_MS = 3.0
RECORDED = Path(__file__).parents[2] / "benchmarks" / "results" / "client_overhead.json"


def test_an_edit_costs_less_than_promised_beyond_its_encoding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "overhead.json"
    main(["--side", "512", "--groups", "2", "--edits", "12", "--runs", "1", "--out", str(out)])
    printed = capsys.readouterr().out
    assert "judge an edit from a file" in printed
    report = json.loads(out.read_text(encoding="utf-8"))
    assert 0.0 < report["from_files"]["median"] <= PROMISED_MS
    # Encoding is in it, measured at another moment: on a busy machine either may be a tenth slower than the other.
    assert report["from_images"]["median"] > 0.5 * report["encoding"]["median"]


def test_the_recorded_run_says_the_same() -> None:
    report = json.loads(RECORDED.read_text(encoding="utf-8"))
    assert (report["side"], report["edits"]) == (512, 24)
    assert report["runs"] >= 5
    assert report["from_files"]["most"] <= PROMISED_MS
    assert report["difference"] <= PROMISED_MS
