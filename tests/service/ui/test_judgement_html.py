"""What the page shows of a judgement: ranked, escaped, and nothing that was not measured."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from edit_rrm.verdicts import ErrorDetail, Outcome, Reward
from edit_rrm_service.ui.judgement_html import judgement, ranked, swipe, trouble
from tests.service.ui.replies import FOLLOW, KEEP, failed, group, scored, verdict


@given(st.lists(st.one_of(st.none(), st.floats(0, 10)), max_size=12))
def test_the_best_comes_first_and_failures_last(scores: list[float | None]) -> None:
    results: list[Reward] = [failed() if score is None else scored(score) for score in scores]
    order = ranked(results)
    assert sorted(order) == list(range(len(scores)))
    shown = [scores[place] for place in order]
    measured = [score for score in shown if score is not None]
    assert measured == sorted(measured, reverse=True)
    assert shown[len(measured) :] == [None] * (len(scores) - len(measured))


class Found(HTMLParser):
    """Tags, texts and what pictures say they are."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.alternatives: list[str | None] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.alternatives += [value for name, value in attrs if name == "alt"]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_everything_about_an_edit_is_there() -> None:
    reward = scored(
        7.5,
        verdict(FOLLOW, True, probability=0.97, rationale="it is blue now"),
        verdict(KEEP, False),
        reasoning="I looked.",
        cache="hit",
    )
    html = judgement("make it blue", group(reward), ["a.png"], "data:source", ["data:edit"])
    for piece in (
        "make it blue",
        "a.png",
        "<strong>7.5</strong> of 10",
        "reward 0.75",
        "97% yes",
        "it is blue now",
        "I looked.",
        "Follows the instruction",
        "Keeps the rest",
        'aria-label="yes"',
        'aria-label="no"',
        "cache hit",
        "identity abcdef012345",
        "request r-1",
        "1.23 s",
        'src="data:source"',
        'src="data:edit"',
    ):
        assert piece in html, piece
    assert "#1" not in html, "one edit has no rank"
    assert "Image quality" not in html


def test_edits_with_one_score_share_a_place() -> None:
    html = judgement(
        "x", group(scored(5.0), scored(9.0), scored(5.0), failed()), ["a", "b", "c", "d"], None, [None] * 4
    )
    places = [html.index(f"{rank}</span> {name}") for rank, name in (("#1", "b"), ("#2", "a"), ("#2", "c"))]
    assert places == sorted(places)
    assert html.index(">d</h3>") > places[-1]
    assert "not scored: bad_image" in html
    assert "the file is no image" in html
    assert "3 of 4 edits scored" in html


def test_what_others_wrote_is_text_and_not_markup() -> None:
    attack = "<script>alert(1)</script>\"'&"
    reward = scored(5.0, verdict(FOLLOW.model_copy(update={"question": attack}), rationale=attack), reasoning=attack)
    html = judgement(attack, group(reward, failed(message=attack)), [attack, attack], None, ["data:x", None])
    html += trouble(ErrorDetail(code=attack, message=attack, param=attack, request_id=attack))
    found = Found()
    found.feed(html)
    assert "script" not in found.tags
    assert attack in found.alternatives, "an attribute ends where it should"
    assert found.text.count(attack) >= 8


def test_a_failure_has_no_number() -> None:
    for outcome in set(Outcome) - {Outcome.SCORED}:
        html = judgement("x", group(failed(outcome)), ["a"], None, [None])
        assert "meter" not in html
        assert f"not scored: {outcome.value}" in html


def test_a_picture_that_cannot_be_shown_is_said() -> None:
    assert "cannot be read" in swipe("data:source", None, "a")
    assert "range" not in swipe(None, "data:edit", "a")
    assert "range" in swipe("data:source", "data:edit", "a")
