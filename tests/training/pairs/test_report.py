"""Reports: figures that are known beforehand, per kind of edit, dimension and K; and the same as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from edit_rrm.verdicts import Outcome
from edit_rrm_training.judge.pairs.asking import EditScore
from edit_rrm_training.judge.pairs.comparison import Ties
from edit_rrm_training.judge.pairs.grouping import Assembled
from edit_rrm_training.judge.pairs.pair import Pair, Ranking, Reason, Rejected
from edit_rrm_training.judge.pairs.report import pairs_report
from edit_rrm_training.judge.pairs.table import lines, markdown, notes
from tests.training.pairs.pictures import assembled, pair

FACTS = {"data": "shapes:x|y", "judge": "a judge", "identity": "f" * 64, "mode": "think", "samples": 4}


def scores_of(found: Assembled, worth: Mapping[str, float | None]) -> dict[str, list[EditScore]]:
    def score(value: float | None) -> EditScore:
        return EditScore(Outcome.UNPARSABLE) if value is None else EditScore(Outcome.SCORED, value)

    return {group.key: [score(worth[edit.digest]) for edit in group.edits] for group in found.groups}


def report(*rows: Pair | Rejected, ties: Ties = Ties.WRONG, **worth: float | None) -> dict[str, Any]:
    found = assembled(*rows)
    return {**FACTS, **pairs_report(found, scores_of(found, worth), ties)}


def test_a_report_counts_everything_it_read() -> None:
    found = report(
        pair("blue", "green", category="add"),
        pair("blue", "black", source="grey", category="add"),
        pair("green", "blue", source="white", category="move"),
        pair("green", "none", source="pink", category="move"),
        Rejected("row 9", Reason.MISSING_IMAGE, "no image"),
        pair("blue", "blue"),
        blue=8.0,
        green=5.0,
        black=8.0,
        none=None,
    )
    assert found["rows"] == {
        "read": 6,
        "used": 4,
        "dropped": {"identical_images": 1, "missing_image": 1},
        "first_dropped": [
            {"row": "row 9", "reason": "missing_image", "detail": "no image"},
            {"row": "red: blue over blue", "reason": "identical_images", "detail": ""},
        ],
    }
    assert (found["groups"], found["edits"]) == (4, 8)
    assert found["outcomes"] == {"scored": 7, "unparsable": 1}
    whole = found["pairs"]
    assert {name: whole[name] for name in ("pairs", "right", "wrong", "tied", "unscored")} == {
        "pairs": 4,
        "right": 1,
        "wrong": 1,
        "tied": 1,
        "unscored": 1,
    }
    assert whole["accuracy"]["value"] == pytest.approx(1 / 3)
    assert whole["accuracy_unscored_wrong"]["value"] == 0.25
    assert whole["by_category"]["add"]["accuracy"]["value"] == 0.5
    assert whole["mean_over_categories"]["value"] == 0.25
    assert not {"by_dimension", "human_ties", "rankings"} & set(found)


def test_dimensions_are_apart_and_averaged_over_categories() -> None:
    rows = [
        pair("blue", "green", dimension="overall", category="add"),
        pair("green", "blue", dimension="consistency", category="add"),
        *(pair("blue", "green", source=f"s{index}", dimension="overall", category="add") for index in range(3)),
        pair("green", "blue", source="t", dimension="overall", category="extract"),
    ]
    found = report(*rows, blue=8.0, green=5.0)["by_dimension"]
    assert found["consistency"]["accuracy"]["value"] == 0.0
    assert found["overall"]["accuracy"]["value"] == 0.8
    assert found["overall"]["mean_over_categories"]["value"] == 0.5
    assert found["overall"]["mean_over_categories"]["categories"] == 2


def test_peoples_ties_are_apart_from_preferences() -> None:
    found = report(
        pair("blue", "green"), pair("blue", "black", source="grey", tied=True), blue=8.0, green=5.0, black=8.0
    )
    assert found["pairs"]["pairs"] == 1
    assert found["human_ties"]["pairs"] == 1
    assert found["human_ties"]["agreed"]["value"] == 1.0
    assert "1 pairs are ties to people" in " ".join(notes(found))


def test_rankings_are_reported_by_k() -> None:
    three = Ranking("three", 3)
    rows = [pair("blue", "green", ranking=Ranking("two", 2))]
    rows += [
        pair(better, worse, ranking=three)
        for better, worse in (("blue", "green"), ("green", "black"), ("blue", "black"))
    ]
    found = report(*rows, blue=8.0, green=5.0, black=6.0)
    assert found["rankings"]["2"]["accuracy"]["value"] == 1.0
    assert found["rankings"]["3"]["accuracy"]["value"] == 0.0
    assert found["rankings"]["all"]["accuracy"]["value"] == 0.5
    assert next(lines(found)).what == "rankings, 2-way"
    assert found["edits"] == 3, "an edit that several rankings have is judged once"


def test_two_way_ties_have_a_figure_as_published_ones_are_made() -> None:
    rows = [
        pair("blue", "green", ranking=Ranking("one", 2)),
        pair("green", "black", source="grey", tied=True, ranking=Ranking("two", 2)),
    ]
    found = report(*rows, blue=8.0, green=5.0, black=6.0)
    assert found["rankings"]["2"]["accuracy"]["value"] == 0.5
    assert found["rankings_calibrated"]["threshold"] == 1.0
    assert found["rankings_calibrated"]["2"]["accuracy"]["value"] == 1.0
    assert "up to 1 points, fitted to these very pairs: 2-way 100.00%, all 100.00%" in " ".join(notes(found))


def test_a_judge_that_never_answers_has_no_accuracy() -> None:
    found = report(pair("blue", "green", category="add"), blue=None, green=None)
    assert found["pairs"]["accuracy"]["value"] is None
    assert found["pairs"]["mean_over_categories"]["value"] is None
    assert "| pairs, all | none counted |  | 0 | 0 | 0 | 1 |" in markdown(found)


def test_the_rule_for_ties_is_the_reports() -> None:
    rows = [pair("blue", "green"), pair("blue", "black", source="grey")]
    values = [report(*rows, ties=ties, blue=8.0, green=8.0, black=1.0)["pairs"]["accuracy"]["value"] for ties in Ties]
    assert values == [0.5, 0.75, 1.0]


def test_markdown_is_a_table_with_what_it_leaves_out() -> None:
    found = report(
        pair("blue", "green", category="a|b"),
        pair("blue", "none", source="grey"),
        pair("blue", "blue"),
        blue=8.0,
        green=5.0,
        none=None,
    )
    page = markdown(found)
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert {row.replace("\\|", "").count("|") for row in rows} == {8}
    assert "# shapes:x|y: a judge (think, Avg@4, ties wrong)" in page
    assert "- judge identity: `" + "f" * 64 + "`" in page
    assert "2 of 3 rows used; dropped: 1 identical_images" in page
    assert "1 pairs not scored; if they count as wrong, accuracy on all pairs is 50.00%" in page
