"""What runs leave in a folder is found and read; what is damaged is left out, and nothing outside is shown."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from edit_rrm_service.ui.runs import (
    Kind,
    Show,
    find_runs,
    pairs,
    picture,
    samples,
    shown_pairs,
    shown_samples,
    steps,
)
from edit_rrm_service.ui.runs_html import pairs_table, samples_table


def sample(prompt: str, reward: float | None, **fields: Any) -> dict[str, Any]:
    outcome = "truncated" if reward is None else "scored"
    return {"prompt": prompt, "instruction": f"do {prompt}", "outcome": outcome, "reward": reward, **fields}


def pair(standing: str, *, tied: bool = False, instruction: str = "make it so") -> dict[str, Any]:
    scores = {"right": (8.0, 3.0), "wrong": (2.0, 3.0), "tied": (5.0, 5.0), "unscored": (None, 3.0)}[standing]
    better, worse = (
        {"outcome": "unparsable" if score is None else "scored", "score": score, "message": None, "picture": None}
        for score in scores
    )
    return {
        "instruction": instruction,
        "standing": standing,
        "people_tied": tied,
        "category": "colour",
        "dimension": None,
        "source": None,
        "better": better,
        "worse": worse,
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    pictures = tmp_path / "editors" / "kontext" / "pictures"
    pictures.mkdir(parents=True)
    first = [sample("a", 0.5, source="sources/000.webp"), sample("b", 0.5), sample("c", 0.5)]
    later = [sample("a", 0.9), sample("b", 0.4), sample("c", None)]
    (pictures / "step-000000.json").write_text(json.dumps(first))
    (pictures / "step-000010.json").write_text(json.dumps(later))
    (pictures / "sources").mkdir()
    (pictures / "sources" / "000.webp").write_bytes(b"a picture")
    evaluation = tmp_path / "evaluation"
    evaluation.mkdir()
    lines = [pair("right"), pair("wrong"), pair("tied"), pair("tied", tied=True), pair("unscored")]
    (evaluation / "pairs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "empty").mkdir()
    os.utime(evaluation, (1, 1))
    return tmp_path


def test_runs_are_found_the_newest_first(root: Path) -> None:
    assert [(run.name, run.kind) for run in find_runs(root)] == [
        ("editors/kontext", Kind.TRAINING),
        ("evaluation", Kind.PAIRS),
    ]
    assert find_runs(root / "nowhere") == []


def test_training(root: Path) -> None:
    run = find_runs(root)[0]
    assert steps(run) == [0, 10]
    before, after = samples(run, 0), samples(run, 10)

    def prompts(show: Show) -> list[str]:
        return [row[1].prompt for row in shown_samples(before, after, show)]

    assert prompts(Show.ALL) == ["a", "b", "c"]
    assert prompts(Show.DISAGREEMENTS) == ["b"]
    assert prompts(Show.FAILURES) == ["c"]
    rows = shown_samples(before, after, Show.ALL)
    html = samples_table(rows, [("data:s", None, "data:a")] * 3, 10, 0)
    assert "after step 0" in html
    assert "0.90" in html
    assert "not scored: truncated" in html
    assert "no picture kept" in html


def test_pairs(root: Path) -> None:
    rows = pairs(find_runs(root)[1])
    assert [row.standing for row in shown_pairs(rows, Show.ALL)] == ["right", "wrong", "tied", "tied", "unscored"]
    assert [row.standing for row in shown_pairs(rows, Show.DISAGREEMENTS)] == ["wrong", "tied"]
    assert [row.standing for row in shown_pairs(rows, Show.FAILURES)] == ["unscored"]
    html = pairs_table(rows, [(None, None, None)] * 5)
    for said in ("the judge agrees", "the judge disagrees", "gives both one score", "people call them equal"):
        assert said in html
    assert "not scored, unparsable" in html
    assert "nothing here" in pairs_table([], [])


def test_what_is_damaged_is_left_out(root: Path) -> None:
    training, evaluation = find_runs(root)
    path = training.folder / "pictures" / "step-000020.json"
    for damaged in (
        "[{",
        '{"a": 1}',
        json.dumps([{"prompt": "x"}, 3, sample("y", 0.1), sample("z", 0.2) | {"reward": "no"}]),
    ):
        path.write_text(damaged)
        assert [one.prompt for one in samples(training, 20)] in ([], ["y"])
    with (evaluation.folder / "pairs.jsonl").open("a") as file:
        file.write('{"instruction": "half a li')
    assert len(pairs(evaluation)) == 5
    assert samples(training, 99) == []


def test_only_a_runs_own_pictures_are_shown(root: Path) -> None:
    run = find_runs(root)[0]
    (root / "secret").write_text("secret")
    (run.folder / "pictures" / "link").symlink_to(root / "secret")
    assert picture(run, "sources/000.webp") == b"a picture"
    for name in ("../../../secret", str(root / "secret"), "link", "gone.webp", "sources", None):
        assert picture(run, name) is None


def test_what_a_table_says_is_text(root: Path) -> None:
    attack = "<script>alert(1)</script>"
    (root / "evaluation" / "pairs.jsonl").write_text(json.dumps(pair("wrong", instruction=attack)) + "\n")
    html = pairs_table(pairs(find_runs(root)[1]), [(None, None, None)])
    assert "<script" not in html
