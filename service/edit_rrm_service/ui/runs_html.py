"""Rows of training runs and evaluations as HTML. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from edit_rrm.verdicts import Outcome
from edit_rrm_service.ui.judgement_html import mark
from edit_rrm_service.ui.runs import Edit, PairRow, Sample

Shown = tuple[str | None, ...]
"""Data URLs of a row's pictures, in the order of its columns."""


def samples_table(
    rows: Sequence[tuple[Sample | None, Sample]], pictures: Sequence[Shown], step: int, first: int
) -> str:
    """Source, before, after, and verdicts.

    Args:
        rows: The first evaluation's row and the present one's.
        pictures: Of each row: source, before, after.
        step: That the present rows were made after.
        first: That the first evaluation was made after.
    """
    body = "".join(
        f'<tr><th scope="row">{escape(after.instruction)}<br><small>{escape(after.prompt)}</small></th>'
        f"<td>{_picture(shown[0], 'source')}</td>"
        f"<td>{_picture(shown[1], 'before')}{_sample(before)}</td>"
        f"<td>{_picture(shown[2], 'after')}{_sample(after)}</td></tr>"
        for (before, after), shown in zip(rows, pictures, strict=True)
    )
    heads = ("instruction", "source", f"after step {first}", f"after step {step}")
    return _table(heads, body)


def pairs_table(rows: Sequence[PairRow], pictures: Sequence[Shown]) -> str:
    """Source, the edit that people prefer, the other one, and who agrees.

    Args:
        rows: Preferences.
        pictures: Of each: source, better, worse.
    """
    body = "".join(
        f'<tr><th scope="row">{escape(row.instruction)}<br><small>{escape(_about(row))}</small></th>'
        f"<td>{_picture(shown[0], 'source')}</td><td>{_picture(shown[1], 'better')}{_edit(row.better)}</td>"
        f"<td>{_picture(shown[2], 'worse')}{_edit(row.worse)}</td></tr>"
        for row, shown in zip(rows, pictures, strict=True)
    )
    return _table(("instruction", "source", "people prefer", "to"), body)


def _table(heads: Sequence[str], body: str) -> str:
    if not body:
        return '<p class="rrm-nothing">nothing here: no row is of this kind</p>'
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    return f'<div class="rrm-scroll rrm-runs"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _picture(shown: str | None, name: str) -> str:
    return '<p class="rrm-nothing">no picture kept</p>' if shown is None else f'<img src="{shown}" alt="{name}">'


def _sample(sample: Sample | None) -> str:
    if sample is None:
        return '<p class="rrm-nothing">not judged then</p>'
    if sample.outcome is not Outcome.SCORED:
        return f'<p class="rrm-unscored">not scored: {escape(sample.outcome.value)}</p>'
    reward = "" if sample.reward is None else f'<p class="rrm-score"><strong>{sample.reward:.2f}</strong> reward</p>'
    lines = "".join(f"<li>{mark(one.passed)} {escape(one.principle.question)}</li>" for one in sample.verdicts)
    reasons = (
        f"<details><summary>reasoning</summary><pre>{escape(sample.reasoning)}</pre></details>"
        if sample.reasoning
        else ""
    )
    return f"{reward}<ul>{lines}</ul>{reasons}"


def _edit(edit: Edit) -> str:
    if edit.score is not None:
        return f'<p class="rrm-score"><strong>{edit.score:.3g}</strong> of 10</p>'
    why = f": {escape(edit.message)}" if edit.message else ""
    return f'<p class="rrm-unscored">not scored, {escape(edit.outcome.value)}{why}</p>'


def _about(row: PairRow) -> str:
    standing = {"right": "the judge agrees", "wrong": "the judge disagrees", "tied": "the judge gives both one score"}
    said = standing.get(row.standing, "not both scored")
    people = "people call them equal" if row.people_tied else None
    return " · ".join(filter(None, (said, people, row.category, row.dimension)))
