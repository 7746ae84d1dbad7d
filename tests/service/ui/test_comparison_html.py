"""Two judgements beside each other: what they differ in is counted and marked."""

from __future__ import annotations

from edit_rrm.verdicts import ErrorDetail, Outcome
from edit_rrm_service.ui.comparison_html import comparison
from tests.service.ui.replies import FOLLOW, KEEP, failed, scored, verdict


def test_differences_are_marked() -> None:
    left = scored(9.0, verdict(FOLLOW, True), verdict(KEEP, True, probability=0.8))
    right = scored(4.5, verdict(FOLLOW, True), verdict(KEEP, False, rationale="a circle is gone"))
    html = comparison(("A", left), ("B", right), None, None, "a.png")
    assert "scores differ by 4.5; 1 of 2 verdicts differ" in html
    assert html.count("rrm-differs") == 1
    marked = html[html.index("rrm-differs") :]
    assert KEEP.question in marked
    assert FOLLOW.question not in marked
    assert "80%" in marked
    assert "a circle is gone" in marked


def test_a_principle_that_only_one_was_asked_differs() -> None:
    html = comparison(("A", scored(9.0, verdict(FOLLOW))), ("B", scored(9.0, verdict(KEEP))), None, None, "a")
    assert "2 of 2 verdicts differ" in html
    assert html.count("<td>not asked</td>") == 2


def test_one_that_failed_says_why_and_the_other_is_still_shown() -> None:
    gone = ErrorDetail(code="unreachable", message="nobody is there")
    html = comparison(("A", scored(9.0, verdict(FOLLOW))), ("B", gone), None, None, "a")
    assert "nobody is there" in html
    assert "<strong>9</strong>" in html
    assert "scores differ" not in html
    html = comparison(("A", failed(Outcome.UNPARSABLE, "no verdicts")), ("B", gone), None, None, "a")
    assert "no verdicts" in html
    assert "0 of 0 verdicts differ" in html


def test_names_are_text() -> None:
    html = comparison(("<b>", scored(1.0)), ("<i>", scored(1.0)), None, None, "<u>")
    assert not {"<b>", "<i>", "<u>"} & set(html.split())
    assert "&lt;b&gt;" in html
