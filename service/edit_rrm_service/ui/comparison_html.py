"""Two judgements of one edit beside each other, with what they differ in highlighted. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from edit_rrm.verdicts import ErrorDetail, Reward, Verdict
from edit_rrm_service.ui.judgement_html import TITLES, mark, swipe, trouble

Side = tuple[str, Reward | ErrorDetail]
"""A judge's name, and what it said or why it said nothing."""


def comparison(left: Side, right: Side, source: str | None, edited: str | None, name: str) -> str:
    """A table with a line for every principle, and a column for each judge.

    Args:
        left: One judge.
        right: The other.
        source: Data URL of the source; None where it cannot be shown.
        edited: Of the edit.
        name: Of the edit's file.
    """
    found = [_verdicts(said) for _, said in (left, right)]
    # By category and question, in the order in which either judge asked.
    questions = list(dict.fromkeys(key for side in found for key in side))
    rows = "".join(
        _row(category, question, [side.get((category, question)) for side in found]) for category, question in questions
    )
    differ = sum(_differ([side.get(key) for side in found]) for key in questions)
    scores = [said.score if isinstance(said, Reward) else None for _, said in (left, right)]
    told = f"{differ} of {len(questions)} verdicts differ"
    if scores[0] is not None and scores[1] is not None:
        told = f"scores differ by {abs(scores[0] - scores[1]):.3g}; {told}"
    heads = "".join(f'<th scope="col">{escape(title)}<br>{_score(said)}</th>' for title, said in (left, right))
    failures = "".join(
        f"<h3>{escape(title)}</h3>{trouble(failed)}"
        for title, failed in ((title, _failure(said)) for title, said in (left, right))
        if failed is not None
    )
    table = (
        f'<div class="rrm-scroll"><table><thead><tr><th scope="col">principle</th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )
    return (
        f'<section class="rrm-comparison" aria-label="Comparison">{failures}<p class="rrm-told">{told}</p>'
        f'<div class="rrm-beside">{swipe(source, edited, name)}{table}</div></section>'
    )


def _verdicts(said: Reward | ErrorDetail) -> Mapping[tuple[str, str], Verdict]:
    if not isinstance(said, Reward):
        return {}
    return {(TITLES[one.principle.category], one.principle.question): one for one in said.verdicts}


def _failure(said: Reward | ErrorDetail) -> ErrorDetail | None:
    return said.error if isinstance(said, Reward) else said


def _differ(pair: Sequence[Verdict | None]) -> bool:
    """Whether one judge says yes and the other no, or only one was asked."""
    return len({None if one is None else one.passed for one in pair}) > 1


def _row(category: str, question: str, pair: Sequence[Verdict | None]) -> str:
    kind = ' class="rrm-differs"' if _differ(pair) else ""
    note = '<span class="rrm-said">differs</span>' if kind else ""
    return (
        f'<tr{kind}><th scope="row"><small>{category}</small><br>{escape(question)} {note}</th>'
        f"{''.join(map(_cell, pair))}</tr>"
    )


def _cell(one: Verdict | None) -> str:
    if one is None:
        return "<td>not asked</td>"
    probability = "" if one.probability is None else f" {one.probability:.0%}"
    why = f'<p class="rrm-why">{escape(one.rationale)}</p>' if one.rationale else ""
    return f"<td>{mark(one.passed)}{probability}{why}</td>"


def _score(said: Reward | ErrorDetail) -> str:
    if isinstance(said, Reward) and said.score is not None:
        return f'<span class="rrm-score"><strong>{said.score:.3g}</strong> of 10</span>'
    return '<span class="rrm-score rrm-unscored">not scored</span>'
