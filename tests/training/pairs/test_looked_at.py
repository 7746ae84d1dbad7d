"""Every preference on a line, with pictures of those that the judge got wrong, as the page reads them."""

from __future__ import annotations

from pathlib import Path

from edit_rrm.verdicts import Outcome
from edit_rrm_service.ui.runs import Show, find_runs, pairs, picture, shown_pairs
from edit_rrm_training.judge.pairs.asking import EditScore
from edit_rrm_training.judge.pairs.grouping import Assembled
from edit_rrm_training.judge.pairs.looked_at import write_looked_at
from tests.training.pairs.pictures import assembled, pair


def judged(*scores: tuple[float | None, float | None]) -> tuple[Assembled, dict[str, list[EditScore]]]:
    """A preference each, with the scores of the better edit and the other."""
    rows = [pair("blue", "green", instruction=f"do {at}") for at in range(len(scores))]
    found = assembled(*rows)
    by_key = {}
    for group, (better, worse) in zip(found.groups, scores, strict=True):
        [one] = group.comparisons
        made = {one.better: better, one.worse: worse}
        by_key[group.key] = [
            EditScore(Outcome.SCORED, value) if value is not None else EditScore(Outcome.REFUSED, message="no")
            for value in (made[at] for at in range(len(group.edits)))
        ]
    return found, by_key


def test_the_page_reads_what_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    found, scores = judged((8.0, 3.0), (2.0, 3.0), (5.0, 5.0), (None, 3.0))
    for _ in range(2):  # again is the same
        write_looked_at(folder, found.groups, scores)
    [run] = find_runs(tmp_path)
    rows = pairs(run)
    assert [row.standing for row in rows] == ["right", "wrong", "tied", "unscored"]
    assert [row.instruction for row in shown_pairs(rows, Show.DISAGREEMENTS)] == ["do 1", "do 2"]
    assert rows[3].better.message == "no"
    assert rows[0].source is None, "nothing to look at where the judge agrees"
    for row in rows[1:]:
        for name in (row.source, row.better.picture, row.worse.picture):
            data = picture(run, name)
            assert data is not None
            assert data.startswith(b"RIFF")


def test_no_more_pictures_than_so_many(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    found, scores = judged((2.0, 3.0), (2.0, 3.0))
    write_looked_at(folder, found.groups, scores, most_pictured=1)
    [run] = find_runs(tmp_path)
    assert [row.source is None for row in pairs(run)] == [False, True]
