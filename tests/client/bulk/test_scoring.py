"""Every row is scored once, in order, whatever the groups, failures and windows, and after any interruption."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edit_rrm.verdicts import Aggregation, Mode, Outcome
from edit_rrm_client import FailureBudgetError
from edit_rrm_client.bulk.columns import Columns
from edit_rrm_client.bulk.errors import BulkError
from edit_rrm_client.bulk.judging import How
from edit_rrm_client.bulk.scoring import Job, score_file
from edit_rrm_client.bulk.summary import Summary
from edit_rrm_client.group import GroupResult
from tests.client.bulk.edits import SPOILT, TIMED_OUT, RednessJudge, judged, picture, read, table, written
from tests.client.steps import OTHER, unscored

KEEP = Columns(keep=("id",))
CELLS = [picture(200), picture(90), picture(0), picture(0, TIMED_OUT), SPOILT, b"", None]

Row = st.tuples(st.integers(0, 3), st.integers(0, len(CELLS) - 1))


def run(job: Job, judge: RednessJudge) -> Summary:
    return asyncio.run(score_file(job, judge))


def job(folder: Path, **options: Any) -> Job:
    return Job(folder / "edits.parquet", folder / "scores.parquet", **{"columns": KEEP, **options})


def mixture(path: Path, rows: list[tuple[int, int]]) -> None:
    sources = [picture(1, 1), picture(2, 1), picture(3, 1), None]
    content = {
        "id": pa.array([f"edit-{row}" for row in range(len(rows))], pa.string()),
        "instruction": pa.array(["make it red" if row % 5 else None for row in range(len(rows))], pa.string()),
        "source": pa.array([sources[source] for source, _ in rows], pa.binary()),
        "edited": pa.array([CELLS[cell] for _, cell in rows], pa.binary()),
    }
    pq.write_table(pa.table(content), path, row_group_size=7)


@settings(max_examples=30, deadline=None)
@given(st.lists(Row, max_size=40), st.integers(1, 9), st.integers(1, 6), st.data())
def test_any_mixture_is_scored_as_if_there_were_no_windows(
    rows: list[tuple[int, int]], window: int, in_flight: int, data: st.DataObject
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        mixture(folder / "edits.parquet", rows)
        asked = job(folder, window=window, in_flight=in_flight, max_failed=1.0)
        try:
            run(asked, RednessJudge(fail_after=data.draw(st.integers(0, len(rows)))))
        except KeyboardInterrupt:
            assert not asked.output.exists()
        summary = run(asked, RednessJudge())
        found = read(folder / "scores.parquet")
        whole = Job(folder / "edits.parquet", folder / "whole.parquet", KEEP, window=1_000, max_failed=1.0)
        assert run(whole, RednessJudge()).outcomes == summary.outcomes
        assert read(whole.output) == found
        assert [one["row"] for one in found] == list(range(len(rows)))
        assert [one["id"] for one in found] == [f"edit-{row}" for row in range(len(rows))]
        for place, (one, (source, cell)) in enumerate(zip(found, rows, strict=True)):
            content = CELLS[cell]
            sent = place % 5 != 0 and source < 3 and bool(content)
            expected = judged(content) if sent and content else None
            assert one["reward"] == (None if expected is None else expected.reward)
            assert (one["outcome"] == "scored") == (one["error_code"] is None) == (one["verdicts"] is not None)
            if expected is not None:
                assert one["outcome"] == expected.outcome.value


def test_a_group_goes_together_and_so_many_of_them_at_a_time(tmp_path: Path) -> None:
    written(tmp_path / "edits.parquet", 48)
    judge = RednessJudge(seconds=0.01)
    how = How(Mode.PROBE, Aggregation.MIN, 2)
    summary = run(job(tmp_path, window=16, in_flight=3, how=how), judge)
    assert [len(edits) for _, _, edits in judge.asked] == [4] * 12
    assert judge.ways == {(Mode.PROBE, Aggregation.MIN, 2)}
    assert judge.most_under_way == 3
    assert (summary.rows, summary.scored, summary.asked, summary.outcomes) == (48, 48, 48, {"scored": 48})
    rewards = [one["reward"] for one in read(tmp_path / "scores.parquet")]
    assert summary.mean_reward == pytest.approx(sum(rewards) / 48)


def test_the_end_of_a_window_is_no_pause(tmp_path: Path) -> None:
    written(tmp_path / "edits.parquet", 40, group=1)
    judge = RednessJudge(seconds=0.02)
    run(job(tmp_path, window=4, in_flight=64), judge)
    assert judge.most_under_way > 4


def test_what_was_measured_is_not_asked_again(tmp_path: Path) -> None:
    written(tmp_path / "edits.parquet", 80)
    interrupted = RednessJudge(fail_after=40)
    with pytest.raises(KeyboardInterrupt):
        run(job(tmp_path, window=8, in_flight=2), interrupted)
    again = RednessJudge()
    summary = run(job(tmp_path, window=8, in_flight=2), again)
    assert summary.asked == again.edits
    assert interrupted.edits + again.edits <= 80 + 2 * 8
    assert not (tmp_path / "scores.parquet.run").exists()
    # And once it is whole, nothing at all.
    third = RednessJudge()
    assert run(job(tmp_path), third).asked == third.edits == 0


def test_only_failures_that_may_pass_are_tried_again(tmp_path: Path) -> None:
    edits = table(60).set_column(3, "edited", pa.array([CELLS[row % 5] for row in range(60)]))
    pq.write_table(edits, tmp_path / "edits.parquet")
    first = run(job(tmp_path, in_flight=60), RednessJudge())
    assert first.outcomes == {"scored": 36, "timed_out": 12, "bad_image": 12}
    better = RednessJudge(lambda file: judged(picture(100) if file == CELLS[3] else file))
    second = run(job(tmp_path, in_flight=60, retry_failed=True, window=16), better)
    assert (second.asked, better.edits) == (12, 12)
    assert second.outcomes == {"scored": 48, "bad_image": 12}
    rows = read(tmp_path / "scores.parquet")
    assert [row["row"] for row in rows] == list(range(60))
    assert [row["reward"] for row in rows if row["row"] % 5 == 3] == [pytest.approx(0.39)] * 12


def test_another_run_is_refused_and_nothing_of_the_first_is_lost(tmp_path: Path) -> None:
    written(tmp_path / "edits.parquet", 24)
    with pytest.raises(KeyboardInterrupt):
        run(job(tmp_path, window=4), RednessJudge(fail_after=12))
    others = {
        "mode was think and is probe": (job(tmp_path, how=How(Mode.PROBE)), RednessJudge()),
        "samples was 1 and is 4": (job(tmp_path, how=How(samples=4)), RednessJudge()),
        "keep was id and is ": (job(tmp_path, columns=Columns()), RednessJudge()),
        "aggregation was the default and is min": (job(tmp_path, how=How(aggregation=Aggregation.MIN)), RednessJudge()),
        f"judge was {'a' * 64} and is {OTHER}": (job(tmp_path), RednessJudge(identity=OTHER)),
    }
    for told, (other, judge) in others.items():
        with pytest.raises(BulkError, match="holds another run") as caught:
            run(other, judge)
        assert told in str(caught.value)
        assert judge.edits == 0
    run(job(tmp_path), RednessJudge())
    # Of the whole output just as well; and `fresh` forgets it.
    with pytest.raises(BulkError, match="judge was"):
        run(job(tmp_path), RednessJudge(identity=OTHER))
    anew = RednessJudge(identity=OTHER)
    assert run(job(tmp_path, fresh=True), anew).asked == anew.edits == 24
    written(tmp_path / "edits.parquet", 25)
    with pytest.raises(BulkError, match=r"input was edits.parquet \(24 rows, .*\) and is edits.parquet \(25 rows"):
        run(job(tmp_path), RednessJudge(identity=OTHER))


def test_a_file_of_somebody_else_is_not_overwritten(tmp_path: Path) -> None:
    written(tmp_path / "edits.parquet", 4)
    written(tmp_path / "scores.parquet", 4)
    before = (tmp_path / "scores.parquet").read_bytes()
    with pytest.raises(BulkError, match="was not written by this command"):
        run(job(tmp_path), RednessJudge())
    with pytest.raises(BulkError, match="is the input itself"):
        run(Job(tmp_path / "edits.parquet", tmp_path / "edits.parquet"), RednessJudge())
    assert (tmp_path / "scores.parquet").read_bytes() == before


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    folder = tmp_path / "edits"
    for name, rows in (("b", 5), ("a", 7)):
        (folder / name).mkdir(parents=True)
        written(folder / name / "part.parquet", rows)
        (folder / name / "x.png").write_bytes(picture(50))
    paths = table(3).set_column(3, "edited", pa.array(["x.png"] * 3))
    pq.write_table(paths, folder / "a" / "paths.parquet")
    summary = run(Job(folder, tmp_path / "scores.parquet", KEEP, window=6), RednessJudge())
    found = read(tmp_path / "scores.parquet")
    assert summary.rows == 15
    assert [row["id"] for row in found] == [f"edit-{row}" for rows in (7, 3, 5) for row in range(rows)]
    assert [row["row"] for row in found] == list(range(15))


def test_there_has_to_be_something_to_read(tmp_path: Path) -> None:
    with pytest.raises(BulkError, match=r"no \*.parquet file in the folder"):
        run(Job(tmp_path, tmp_path / "scores.parquet"), RednessJudge())
    (tmp_path / "edits.parquet").write_bytes(b"PAR0")
    with pytest.raises(BulkError, match="cannot be read as Parquet"):
        run(job(tmp_path), RednessJudge())
    written(tmp_path / "edits.parquet", 3)
    judge = RednessJudge()
    with pytest.raises(BulkError, match="no column 'prompt'; there are id, instruction, source, edited"):
        run(job(tmp_path, columns=Columns("prompt")), judge)
    assert judge.edits == 0


def test_a_service_in_trouble_stops_the_run_before_it_writes_failures(tmp_path: Path) -> None:
    written(tmp_path / "edits.parquet", 200)
    seen = 0

    def failing_later(file: bytes) -> Any:
        nonlocal seen
        seen += 1
        return judged(file) if seen <= 100 else unscored(Outcome.ENGINE_ERROR, retryable=True)

    with pytest.raises(FailureBudgetError, match="engine_error: no"):
        run(job(tmp_path, window=20, in_flight=16), RednessJudge(failing_later))
    assert seen < 200
    again = RednessJudge()
    summary = run(job(tmp_path, window=20, in_flight=16), again)
    assert summary.rows == 200
    assert summary.scored + summary.outcomes.get("engine_error", 0) == 200
    assert summary.outcomes.get("engine_error", 0) <= 8


def test_only_one_process_writes_an_output(tmp_path: Path) -> None:
    written(tmp_path / "edits.parquet", 8)

    class Nosy(RednessJudge):
        async def rewards(self, instruction: str, source: bytes, edited: Any, **how: Any) -> GroupResult:
            with pytest.raises(BulkError, match="another process is writing"):
                await score_file(job(tmp_path), RednessJudge())
            return await super().rewards(instruction, source, edited, **how)

    assert run(job(tmp_path), Nosy()).scored == 8
