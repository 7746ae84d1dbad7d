"""Journals: append-only, indexed, and whole again after a crash or a full disk."""

from __future__ import annotations

import json
import resource
import signal
from pathlib import Path

import pytest

from edit_rrm_training.judge.cold_start.errors import ColdStartError
from edit_rrm_training.judge.cold_start.journal import Journal


def test_what_is_appended_is_found(tmp_path: Path) -> None:
    path = tmp_path / "step.jsonl"
    with Journal(path) as journal:
        for index in range(5):
            journal.append({"id": f"row-{index}", "text": "ü\n" * index})
            assert journal.get("row-0") == {"id": "row-0", "text": ""}
    with Journal(path) as again:
        assert list(again) == [f"row-{index}" for index in range(5)]
        assert len(again) == 5
        assert again.get("row-3") == {"id": "row-3", "text": "ü\n" * 3}
        assert again.get("row-9") is None
        assert "row-4" in again
        assert [record["id"] for record in again.records()] == list(again)


@pytest.mark.parametrize("half", ['{"id": "two", "te', '{"id": "two"}'])
def test_half_a_last_line_is_dropped(tmp_path: Path, half: str) -> None:
    path = tmp_path / "step.jsonl"
    path.write_text(f'{{"id": "one"}}\n{half}')
    with Journal(path) as journal:
        assert list(journal) == ["one"]
        journal.append({"id": "two"})
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == ["one", "two"]


@pytest.mark.parametrize("line", ["nonsense", "[]", "7", '{"key": 1}'])
def test_another_damaged_line_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "step.jsonl"
    path.write_text(f'{{"id": "one"}}\n{line}\n{{"id": "two"}}\n')
    with pytest.raises(ColdStartError, match=r"step\.jsonl is damaged at byte 14"):
        Journal(path)


def test_a_full_disk_costs_the_line_and_nothing_before(tmp_path: Path) -> None:
    path = tmp_path / "step.jsonl"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with Journal(path) as journal:
        journal.append({"id": "one"})
        # The system's own limit on a file's size fails a write as a full disk does: in the middle of a line.
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, hard))
        try:
            with pytest.raises(ColdStartError, match=r"step\.jsonl cannot be written .*what was finished is intact"):
                journal.append({"id": "two", "text": "x" * 10_000})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, ignored)
    with Journal(path) as again:
        assert list(again) == ["one"]
        again.append({"id": "two"})
    assert len(path.read_text().splitlines()) == 2
