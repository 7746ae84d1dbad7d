"""Asking about all groups: what is known is not asked again, and a failure loses nothing that was found."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from edit_rrm.verdicts import Outcome
from edit_rrm_training.judge.pairs.asking import EditScore
from edit_rrm_training.judge.pairs.grouping import Group
from edit_rrm_training.judge.pairs.results import Results
from edit_rrm_training.judge.pairs.run import Memory, ask_all
from tests.training.pairs.pictures import assembled, pair

GROUPS = assembled(*(pair("blue", "green", source=f"source {index}") for index in range(20))).groups
RUN = {"identity": "x"}


class Asker:
    """Scores edits by their place; breaks after some groups."""

    def __init__(self, breaks_after: int | None = None) -> None:
        self.asked: list[str] = []
        self._breaks_after = breaks_after
        self._lock = threading.Lock()

    def __call__(self, group: Group) -> list[EditScore]:
        with self._lock:
            if len(self.asked) == self._breaks_after:
                raise ConnectionError("the service is gone")
            self.asked.append(group.key)
        return [EditScore(Outcome.SCORED, float(index)) for index in range(len(group.edits))]


def test_every_group_is_asked_once_and_progress_is_told() -> None:
    asker, done = Asker(), list[int]()
    found = ask_all(GROUPS, asker, Memory(), workers=4, progress=done.append)
    assert sorted(asker.asked) == sorted(found) == sorted(group.key for group in GROUPS)
    assert done == list(range(21))


def test_a_run_that_broke_goes_on_where_it_was(tmp_path: Path) -> None:
    first, second, done = Asker(breaks_after=7), Asker(), list[int]()
    with Results(tmp_path, RUN) as results, pytest.raises(ConnectionError, match="gone"):
        ask_all(GROUPS, first, results, workers=1)
    kept = (tmp_path / "results.jsonl").read_text().count("\n")
    assert 0 < kept <= 7
    with Results(tmp_path, RUN) as results:
        found = ask_all(GROUPS, second, results, workers=3, progress=done.append)
    assert len(second.asked) == 20 - kept
    assert done[0] == kept
    assert dict(found) == dict(ask_all(GROUPS, Asker(), Memory()))


def test_half_a_last_line_is_asked_again(tmp_path: Path) -> None:
    with Results(tmp_path, RUN) as results:
        whole = ask_all(GROUPS, Asker(), results)
    file = tmp_path / "results.jsonl"
    file.write_bytes(file.read_bytes()[:-30])
    again = Asker()
    with Results(tmp_path, RUN) as results:
        assert dict(ask_all(GROUPS, again, results)) == dict(whole)
    assert len(again.asked) == 1
    assert file.read_text().count("\n") == 20


def test_a_failure_starts_nothing_new() -> None:
    asker = Asker(breaks_after=3)
    with pytest.raises(ConnectionError):
        ask_all(GROUPS, asker, Memory(), workers=1)
    assert len(asker.asked) == 3
