"""What survives a kill, and that results of different runs are never put together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edit_rrm.verdicts import Outcome
from edit_rrm_training.judge.pairs.asking import EditScore
from edit_rrm_training.judge.pairs.results import Results, ResumeError

RUN = {"identity": "a" * 64, "mode": "think", "samples": 1}
GOOD = [EditScore(Outcome.SCORED, 7.5, 0.25), EditScore(Outcome.UNPARSABLE, message="no \n verdicts")]


def filled(folder: Path, count: int = 3) -> Path:
    with Results(folder, RUN) as results:
        for index in range(count):
            results.add(f"group-{index}", GOOD)
    return folder / "results.jsonl"


def test_results_come_back(tmp_path: Path) -> None:
    file = filled(tmp_path / "new" / "folder")
    assert file.read_text().count("\n") == 3
    with Results(file.parent, RUN) as results:
        assert results.get("group-1", 2) == GOOD
        assert results.get("group-3", 2) is None


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"samples": 4}, "samples was 1, is 4"),
        ({"identity": "b" * 64}, 'identity was "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa..., is "bbbb'),
        ({"mode": "probe", "samples": 2}, 'mode was "think", is "probe"; samples was 1, is 2'),
        ({"aggregation": "mean"}, 'aggregation was null, is "mean"'),
    ],
)
def test_another_run_is_refused_with_what_differs(changed: dict[str, Any], told: str, tmp_path: Path) -> None:
    file = filled(tmp_path)
    before = file.read_bytes()
    with pytest.raises(ResumeError) as caught:
        Results(tmp_path, {**RUN, **changed})
    assert told in str(caught.value)
    assert "choose another folder" in str(caught.value)
    assert file.read_bytes() == before


def test_results_of_nobody_knows_what_are_refused(tmp_path: Path) -> None:
    file = filled(tmp_path)
    (tmp_path / "run.json").write_text('{"half": ')
    with pytest.raises(ResumeError, match="is damaged"):
        Results(tmp_path, RUN)
    (tmp_path / "run.json").unlink()
    with pytest.raises(ResumeError, match=r"no run.json says of what"):
        Results(tmp_path, RUN)
    assert file.exists()


@given(cut=st.integers(0, 10_000))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
def test_a_kill_at_any_byte_costs_one_line_at_most(cut: int, tmp_path: Path) -> None:
    for file in tmp_path.iterdir():
        file.unlink()
    file = filled(tmp_path)
    content = file.read_bytes()
    kept = content[: cut % (len(content) + 1)]
    file.write_bytes(kept)
    whole = kept.count(b"\n")
    with Results(tmp_path, RUN) as results:
        assert [results.get(f"group-{index}", 2) for index in range(3)] == [GOOD] * whole + [None] * (3 - whole)
        for index in range(whole, 3):
            results.add(f"group-{index}", GOOD)
    assert [json.loads(line)["group"] for line in file.read_text().splitlines()] == ["group-0", "group-1", "group-2"]


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b"[]",
        b'{"group": "group-1"}',
        b'{"group": "group-1", "results": [{"outcome": "new", "score": 1, "spread": null, "message": null}]}',
        b'{"group": "group-1", "results": [{"outcome": "unparsable", "score": 1, "spread": null, "message": null}]}',
        b'{"group": "group-1", "results": [{"outcome": "scored", "score": null, "spread": null, "message": null}]}',
        b'{"group": "group-1", "results": [{"outcome": "scored", "score": 11, "spread": null, "message": null}]}',
        b"\xff\xfe",
    ],
)
def test_a_damaged_line_costs_its_group_another_asking(line: bytes, tmp_path: Path) -> None:
    file = filled(tmp_path)
    lines = file.read_bytes().splitlines()
    lines[1] = line
    file.write_bytes(b"\n".join(lines) + b"\n")
    with Results(tmp_path, RUN) as results:
        assert [results.get(f"group-{index}", 2) for index in range(3)] == [GOOD, None, GOOD]


def test_a_line_with_too_few_results_is_damaged(tmp_path: Path) -> None:
    filled(tmp_path)
    with Results(tmp_path, RUN) as results:
        assert results.get("group-0", 3) is None


@pytest.mark.parametrize("outcome", ["overloaded", "timed_out", "cancelled", "engine_error"])
def test_what_was_the_services_trouble_is_asked_again(outcome: str, tmp_path: Path) -> None:
    with Results(tmp_path, RUN) as results:
        results.add("one", [EditScore(Outcome(outcome), message="busy"), GOOD[0]])
        results.add("two", GOOD)
    with Results(tmp_path, RUN) as results:
        assert results.get("one", 2) is None
        assert results.get("two", 2) == GOOD
        results.add("one", GOOD)
    with Results(tmp_path, RUN) as results:
        assert results.get("one", 2) == GOOD, "the last line counts"
