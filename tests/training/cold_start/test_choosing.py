"""Which rows are taken: hard and random ones in the shares asked for, in the input's order, the same on every run."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edit_rrm_training.judge.cold_start.choosing import choose
from edit_rrm_training.judge.cold_start.errors import AnswerError, ColdStartError, UnavailableError, UnreachableError
from edit_rrm_training.judge.cold_start.journal import Journal
from edit_rrm_training.judge.cold_start.mixing import Pool, Quota, format_triage, parse_triage
from edit_rrm_training.judge.cold_start.rows import EditRow
from tests.training.cold_start.people import FakeTeacher, ListedRows, png, triples


def chosen(rows: Any, out: Path, count: int | None, hard: float = 0.0, teacher: FakeTeacher | None = None) -> list[Any]:
    with Journal(out / "mix.jsonl") as journal:
        people = teacher or FakeTeacher()
        asyncio.run(choose(rows, journal, Quota(count, hard, 0), people, seed=0, window=4, progress=lambda done: None))
        return list(journal.records())


def mixed(count: int) -> ListedRows:
    """Every third instruction is a hard one."""
    edited = [(f"move {n} left" if n % 3 == 0 else f"paint {n}", png("red"), png((n, 1, 1))) for n in range(count)]
    return ListedRows(edited)


def pools(records: list[Any]) -> dict[str, int]:
    return {pool: sum(record["pool"] == pool for record in records) for pool in Pool}


def test_all_rows_are_taken_where_nothing_is_said(tmp_path: Path) -> None:
    teacher = FakeTeacher()
    records = chosen(ListedRows(triples(7)), tmp_path, None, teacher=teacher)
    assert pools(records) == {"random": 7, "hard": 0, "left_out": 0}
    assert teacher.asked == []


def test_half_are_hard_where_half_are_to_be(tmp_path: Path) -> None:
    records = chosen(mixed(120), tmp_path, 20, 0.5)
    assert pools(records) | {"left_out": 0} == {"random": 10, "hard": 10, "left_out": 0}
    assert all(record["hard"] for record in records if record["pool"] == Pool.HARD)
    # Random ones are taken whatever they are.
    assert all(record["hard"] is None for record in records if record["pool"] == Pool.RANDOM)


def test_a_full_random_pool_leaves_all_that_follows_to_the_hard_one(tmp_path: Path) -> None:
    records = chosen(mixed(60), tmp_path, 20, 0.95)
    assert pools(records)["random"] == 1
    assert pools(records)["hard"] == 19


def test_the_mix_is_the_same_however_often_it_is_interrupted(tmp_path: Path) -> None:
    whole = chosen(mixed(120), tmp_path, 20, 0.5)
    (tmp_path / "again").mkdir()
    lines = (tmp_path / "mix.jsonl").read_text().splitlines(keepends=True)
    teacher = FakeTeacher()
    for kept in (0, 3, 17, len(lines)):
        (tmp_path / "again" / "mix.jsonl").write_text("".join(lines[:kept]))
        teacher = FakeTeacher()
        assert chosen(mixed(120), tmp_path / "again", 20, 0.5, teacher) == whole
    assert len(teacher.asked) <= 4, "what is known is not asked again, but for a window beyond the end"


def test_edits_of_one_source_are_classified_once(tmp_path: Path) -> None:
    rows = ListedRows([("move it left", png("red"), png((n, 0, 0))) for n in range(10)])
    teacher = FakeTeacher()
    records = chosen(rows, tmp_path, 8, 1.0, teacher)
    assert pools(records)["hard"] == 8
    assert len(teacher.asked) == 1


def test_bad_rows_and_duplicates_are_recorded_and_left_out(tmp_path: Path) -> None:
    rows = triples(3)
    rows[1:1] = [("", png("red"), png("red")), rows[0], ("x", b"no image", png("red"))]
    records = chosen(ListedRows(rows), tmp_path, None)
    assert [record.get("failure") for record in records] == [
        None,
        "no_instruction",
        "duplicate",
        "bad_image",
        None,
        None,
    ]
    assert pools(records) == {"random": 3, "hard": 0, "left_out": 3}
    assert chosen(ListedRows(rows), tmp_path, None) == records


@pytest.mark.parametrize("said", ["maybe", AnswerError("refused", "no"), UnavailableError("busy")])
def test_an_unclassified_row_is_left_out_and_told(tmp_path: Path, said: Any) -> None:
    teacher = FakeTeacher(classifies=lambda row: said if " 0 " in row.instruction else format_triage(["space"]))
    records = chosen(mixed(5), tmp_path, 3, 1.0, teacher)
    assert records[0] | {"unclassified": True, "pool": "left_out", "hard": None} == records[0]
    assert pools(records)["hard"] == 3


def test_a_classifier_that_is_away_ends_the_run_and_nothing_is_recorded_for_it(tmp_path: Path) -> None:
    teacher = FakeTeacher(classifies=lambda row: UnavailableError("teacher x at http://x: away"))
    with pytest.raises(UnreachableError, match="teacher x at http://x: away; finished rows are kept"):
        chosen(mixed(20), tmp_path, 5, 1.0, teacher)
    assert (tmp_path / "mix.jsonl").read_text() == ""
    back = chosen(mixed(40), tmp_path, 5, 1.0)
    (tmp_path / "other").mkdir()
    assert back == chosen(mixed(40), tmp_path / "other", 5, 1.0)


def test_records_held_back_keep_their_order(tmp_path: Path) -> None:
    def answer(row: EditRow) -> str | Exception:
        return UnavailableError("busy") if row.instruction in ("make it 0", "make it 2") else format_triage(["space"])

    rows = triples(6)
    rows[1:1] = [rows[0], ("", b"", b"")]
    records = chosen(ListedRows(rows), tmp_path, 4, 1.0, FakeTeacher(classifies=answer))
    assert [record["origin"] for record in records] == [f"listed/{index}" for index in range(len(records))]
    assert [record.get("failure") for record in records[:4]] == [None, "duplicate", "no_instruction", None]
    assert [record["pool"] for record in records[3:]] == ["hard", "left_out", "hard", "hard", "hard"]


def test_no_usable_row_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ColdStartError, match=r"listed has no row that can be used; .*mix\.jsonl says why"):
        chosen(ListedRows([("", b"", b"")]), tmp_path, None)


@given(st.lists(st.tuples(st.text(max_size=3), st.booleans())), st.integers(1, 20), st.floats(0.0, 1.0))
def test_no_pool_takes_more_than_its_share(rows: list[tuple[str, bool]], count: int, hard: float) -> None:
    quota = Quota(count, hard, 0)
    taken = [quota.take(task, is_hard if quota.wants_to_know(task) else None) for task, is_hard in rows]
    assert taken.count(Pool.HARD) <= round(count * hard)
    assert taken.count(Pool.RANDOM) <= count - round(count * hard)
    assert quota.full == (taken.count(Pool.HARD) + taken.count(Pool.RANDOM) == count)


def test_a_share_of_an_unknown_number_is_refused() -> None:
    with pytest.raises(ValueError, match="number of rows"):
        Quota(None, 0.5, 0)


@pytest.mark.parametrize(
    ("text", "hard"),
    [
        (format_triage(["steps", "space"]), True),
        (format_triage([]), False),
        ('```json\n{"hard": true, "because": ["detail"]}\n```', True),
        ('{"hard": true, "because": []}', None),
        ('{"hard": false, "because": ["space"]}', None),
        ('{"hard": true, "because": ["mood"]}', None),
        ('{"hard": 1, "because": ["space"]}', None),
        ('{"hard": true}', None),
        ("[]", None),
        ("yes", None),
        ("[" * 100_000, None),
        ("x" * 100_000, None),
    ],
)
def test_triage_is_read_strictly(text: str, hard: bool | None) -> None:
    assert parse_triage(text) is hard


@given(st.text())
def test_no_triage_raises(text: str) -> None:
    assert parse_triage(text) in (None, True, False)
