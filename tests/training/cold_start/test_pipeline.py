"""The steps together: what is recorded, what a rerun does, and what one bad answer costs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from edit_rrm_training.judge.cold_start.errors import AnswerError, ColdStartError, UnavailableError, UnreachableError
from edit_rrm_training.judge.cold_start.folder import differences
from edit_rrm_training.judge.cold_start.report import counts
from edit_rrm_training.judge.cold_start.rows import BadRow, EditRow
from edit_rrm_training.judge.cold_start.teachers import Staff
from tests.training.cold_start.people import (
    PRINCIPLES,
    FakeTeacher,
    ListedRows,
    a_config,
    gold,
    judgement,
    png,
    staff,
    started,
    triples,
)

NAMES = ("00-mix", "01-principles", "02-candidates", "03-gold", "04-selected")


def run(out: Path, rows: Any, people: Staff, **options: Any) -> dict[str, Any]:
    with started(out, rows, people, **options) as (pipeline, steps):
        asyncio.run(pipeline.run())
        return counts(steps, verified=options.get("verified", True))


def records(out: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / f"{name}.jsonl").read_text().splitlines()]


def test_the_candidate_nearest_to_gold_is_kept_with_its_provenance(tmp_path: Path) -> None:
    truth = (True, False, True)
    good = FakeTeacher("good", thinks=lambda row: judgement(truth, 6.0), verifies=lambda row: gold(truth))
    bad = FakeTeacher("bad", thinks=lambda row: judgement((True, True, True), 9.0))
    babbling = FakeTeacher("babbling", thinks=lambda row: "fine, 10/10")
    told = run(tmp_path, ListedRows(triples(12)), staff(bad, babbling, good, writer=good, verifier=good))
    assert told["rows"] == {"selected": 12}
    assert told["candidates"] == {"missing_verdicts": 12, "parsed": 24}
    candidates = {record["id"]: record["candidates"] for record in records(tmp_path, "02-candidates")}
    for record in records(tmp_path, "04-selected"):
        chosen = candidates[record["id"]][record["candidate"]]
        assert (chosen["teacher"], chosen["model"], chosen["temperature"]) == ("good", "good-model", 0.5)
        assert (record["agreement"], record["parsed"], record["candidates"]) == (1.0, 2, 3)
    # The pool is shuffled for every row, so that no teacher always has the lower index.
    assert len({candidates[key][0]["teacher"] for key in candidates}) == 3
    assert all(len(hints) == 2 for hints in good.hints), "what did not parse is no hint"
    seeds = [item["seed"] for key in candidates for item in candidates[key]]
    assert len(set(seeds)) == len(seeds)
    assert all(len(record["exemplars"]) == 2 for record in records(tmp_path, "01-principles"))


def test_without_a_verifier_the_first_that_parses_is_kept(tmp_path: Path) -> None:
    people = staff(FakeTeacher("one"), FakeTeacher("two", thinks=lambda row: "hm"))
    told = run(tmp_path, ListedRows(triples(6)), people, verified=False)
    assert told["rows"] == {"selected": 6}
    candidates = {record["id"]: record["candidates"] for record in records(tmp_path, "02-candidates")}
    for record in records(tmp_path, "04-selected-unverified"):
        assert candidates[record["id"]][record["candidate"]]["teacher"] == "one"
        assert "agreement" not in record
    assert not records(tmp_path, "03-gold")
    # A verifier may join later, and finds steps 1 and 2 done.
    later = FakeTeacher()
    assert run(tmp_path, ListedRows(triples(6)), staff(later))["rows"] == {"selected": 6}
    assert {what for what, _ in later.asked} == {"verify"}


def test_edits_of_one_source_share_their_principles(tmp_path: Path) -> None:
    rows = ListedRows([("make it blue", png("red"), png((n, 0, 0))) for n in range(5)])
    teacher = FakeTeacher()
    assert run(tmp_path, rows, staff(teacher))["rows"] == {"selected": 5}
    assert [what for what, _ in teacher.asked].count("write") == 1


@pytest.mark.parametrize("stage", ["writes", "thinks", "verifies"])
@pytest.mark.parametrize(
    ("said", "reason"), [(AnswerError("refused", "no"), "refused"), ("I would rather not", "unreadable")]
)
def test_a_teacher_that_refuses_or_babbles_costs_that_row(tmp_path: Path, stage: str, said: Any, reason: str) -> None:
    usual = FakeTeacher()

    def answer(row: EditRow) -> Any:
        return said if row.instruction == "make it 2" else getattr(usual, stage)(row)

    teacher = FakeTeacher(**{stage: answer})  # type: ignore[arg-type]  # one of three functions
    told = run(tmp_path, ListedRows(triples(5)), staff(teacher))
    unreadable = {"writes": "missing_principles", "thinks": "missing_verdicts", "verifies": "not_json"}
    why = unreadable[stage] if reason == "unreadable" else reason
    fate = {"writes": f"principles: {why}", "thinks": "no_candidate", "verifies": "no_gold"}[stage]
    assert told["rows"] == {"selected": 4, fate: 1}
    if stage != "writes":
        assert told["candidates" if stage == "thinks" else "gold"] == {"parsed": 4, why: 1}
    # It is settled: nobody is asked again.
    again = FakeTeacher()
    assert run(tmp_path, ListedRows(triples(5)), staff(again)) == told
    assert again.asked == []


@pytest.mark.parametrize("stage", ["writes", "thinks", "verifies"])
def test_a_row_without_an_answer_is_asked_for_again(tmp_path: Path, stage: str) -> None:
    usual = FakeTeacher()

    def answer(row: EditRow) -> Any:
        return UnavailableError("busy") if row.instruction == "make it 2" else getattr(usual, stage)(row)

    teacher = FakeTeacher(**{stage: answer})  # type: ignore[arg-type]  # one of three functions
    told = run(tmp_path, ListedRows(triples(5)), staff(teacher))
    step = {"writes": "principles", "thinks": "candidates", "verifies": "gold"}[stage]
    assert told["rows"] == {"selected": 4, f"unanswered: {step}": 1}
    again = FakeTeacher()
    assert run(tmp_path, ListedRows(triples(5)), staff(again))["rows"] == {"selected": 5}
    assert {instruction for _, instruction in again.asked} == {"make it 2"}


@pytest.mark.parametrize("stage", ["writes", "thinks", "verifies"])
def test_a_teacher_that_goes_away_ends_the_run_and_finished_rows_stay(tmp_path: Path, stage: str) -> None:
    usual = FakeTeacher()

    def answer(row: EditRow) -> Any:
        late = int(row.instruction.split()[-1]) >= 4
        return UnavailableError("teacher x at http://x: away") if late else getattr(usual, stage)(row)

    teacher = FakeTeacher(**{stage: answer})  # type: ignore[arg-type]  # one of three functions
    with pytest.raises(UnreachableError, match="teacher x at http://x: away; finished rows are kept: run the same"):
        run(tmp_path, ListedRows(triples(10)), staff(teacher))
    name = {"writes": NAMES[1], "thinks": NAMES[2], "verifies": NAMES[3]}[stage]
    assert len(records(tmp_path, name)) == 4
    again = FakeTeacher()
    assert run(tmp_path, ListedRows(triples(10)), staff(again))["rows"] == {"selected": 10}
    what = {"writes": "write", "thinks": "think", "verifies": "verify"}[stage]
    assert [asked for asked, _ in again.asked].count(what) == 6


def test_two_rows_and_no_answer_at_all_is_nobody_there(tmp_path: Path) -> None:
    away = FakeTeacher(writes=lambda row: UnavailableError("away"))
    with pytest.raises(UnreachableError):
        run(tmp_path, ListedRows(triples(2)), staff(away))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kept", [0, 3])
def test_a_crash_at_any_step_leaves_what_a_rerun_completes_to_the_same(tmp_path: Path, name: str, kept: int) -> None:
    run(tmp_path / "whole", ListedRows(triples(6)), staff())
    whole = {step: (tmp_path / "whole" / f"{step}.jsonl").read_bytes() for step in NAMES}
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    (crashed / "run.json").write_bytes((tmp_path / "whole" / "run.json").read_bytes())
    for step in NAMES[: NAMES.index(name)]:
        (crashed / f"{step}.jsonl").write_bytes(whole[step])
    lines = whole[name].splitlines(keepends=True)
    (crashed / f"{name}.jsonl").write_bytes(b"".join(lines[:kept]) + lines[kept][:20])
    run(crashed, ListedRows(triples(6)), staff())
    assert {step: (crashed / f"{step}.jsonl").read_bytes() for step in NAMES} == whole


def test_files_do_not_depend_on_how_long_answers_take(tmp_path: Path) -> None:
    class Slow(FakeTeacher):
        async def think(self, row: EditRow, principles: Any, seed: int) -> str:
            await asyncio.sleep(0.01 if int(row.instruction.split()[-1]) % 3 == 0 else 0.0)
            return await super().think(row, principles, seed)

    run(tmp_path / "one", ListedRows(triples(9)), staff(FakeTeacher()))
    run(tmp_path / "two", ListedRows(triples(9)), staff(Slow()))
    for name in NAMES:
        assert (tmp_path / "one" / f"{name}.jsonl").read_bytes() == (tmp_path / "two" / f"{name}.jsonl").read_bytes()


def test_a_changed_configuration_is_refused_with_what_differs(tmp_path: Path) -> None:
    rows = ListedRows(triples(3))
    run(tmp_path, rows, staff())
    with pytest.raises(ColdStartError) as error:
        run(tmp_path, rows, staff(), config=a_config(seed=1, candidates=[{"teacher": "fake", "samples": 2}]))
    told = str(error.value)
    assert "was started differently: " in told
    assert "config.seed: 0 -> 1" in told
    assert "config.candidates.0.samples: 1 -> 2" in told
    assert "use another --out" in told
    with pytest.raises(ColdStartError, match="n: null -> 2"):
        run(tmp_path, rows, staff(), count=2)
    assert run(tmp_path, rows, staff())["rows"] == {"selected": 3}


def test_differences_are_named_by_their_path() -> None:
    before = {"a": {"b": [1, {"c": 2}]}, "d": [1], "e": 0}
    now = {"a": {"b": [1, {"c": 3}]}, "d": [1, 2], "f": "x" * 100}
    told = differences(before, now)
    assert told[0] == "a.b.1.c: 2 -> 3"
    assert told[1] == "d: [1] -> [1, 2]"
    assert told[2] == "e: 0 -> null"
    assert told[3].startswith('f: null -> "xxx')
    assert differences(before, before) == []


def test_input_that_changed_is_refused(tmp_path: Path) -> None:
    away = FakeTeacher(writes=lambda row: UnavailableError("away"))
    with pytest.raises(UnreachableError):
        run(tmp_path, ListedRows(triples(4)), staff(away))
    with pytest.raises(ColdStartError, match="listed has changed since this run was started, at listed/0"):
        run(tmp_path, ListedRows(triples(5)[1:]), staff())


def test_one_folder_is_for_one_run_at_a_time(tmp_path: Path) -> None:
    rows = ListedRows(triples(1))
    with (
        started(tmp_path, rows, staff()),
        pytest.raises(ColdStartError, match="is in use by another run"),
        started(tmp_path, rows, staff()),
    ):
        pass


def test_progress_is_told_for_every_step(tmp_path: Path) -> None:
    seen: dict[str, tuple[int, int | None]] = {}

    def progress(step: str, done: int, total: int | None) -> None:
        seen[step] = (done, total)

    run(tmp_path, ListedRows(triples(4)), staff(), progress=progress)
    assert list(seen.values()) == [(4, 4)] * 5
    assert len(PRINCIPLES) == 3


def test_rows_are_not_all_in_memory_at_once(tmp_path: Path) -> None:
    loaded = answered = most = 0

    class Counted(ListedRows):
        def _load(self, index: int) -> EditRow | BadRow:
            nonlocal loaded, most
            loaded += 1
            most = max(most, loaded - answered)
            return super()._load(index)

    def answer(row: EditRow) -> str:
        nonlocal answered
        answered += 1
        return judgement()

    rows = Counted(triples(60))
    with started(tmp_path, rows, staff(FakeTeacher(thinks=answer))) as (pipeline, _):
        asyncio.run(pipeline.run())
    # Passes that think for no row load each of the others once, too: count the pass that does.
    before = loaded
    loaded = answered = most = 0
    (tmp_path / "02-candidates.jsonl").unlink()
    with started(tmp_path, rows, staff(FakeTeacher(thinks=answer))) as (pipeline, _):
        asyncio.run(pipeline.run())
    assert before == 4 * 60
    assert loaded == 60, "a rerun loads only what it has something to do for"
    assert most <= 3
