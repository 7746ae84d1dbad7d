"""The tab *Runs*: what an editor drew over its training, and where a judge and people disagree."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, TypeVar

import gradio as gr

from edit_rrm_service.ui.desk import Desk, shown, shown_html
from edit_rrm_service.ui.runs import (
    Kind,
    Run,
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

T = TypeVar("T")

_ROWS: Final = 12
"""Of a page: its pictures travel inside of it."""

_SHOWN: Final = [
    ("everything", Show.ALL.value),
    ("disagreements", Show.DISAGREEMENTS.value),
    ("failures", Show.FAILURES.value),
]
_WHAT: Final = (
    "Disagreements: pairs that the judge ranks against people, or cannot tell apart; in training, a reward that fell. "
    "Failures: not scored."
)


def runs_tab(desk: Desk, page: gr.Blocks) -> None:
    """Build the tab, inside of a page."""
    if desk.runs is None:
        gr.Markdown(
            "Name a folder with `edit-rrm serve --ui-runs FOLDER` (or `EDIT_RRM_UI_RUNS`), and what "
            "`edit-rrm train editor --out` and `edit-rrm eval pairs --out` wrote below it is shown here."
        )
        return
    with gr.Row():
        run = gr.Dropdown([], label="Run", scale=3, elem_id="rrm-run")
        step = gr.Dropdown([], label="After step", scale=1, visible=False, elem_id="rrm-step")
        which = gr.Radio(_SHOWN, value=Show.ALL.value, label="Show", scale=3, elem_id="rrm-show")
        part = gr.Number(1, label="Page", minimum=1, precision=0, scale=1, elem_id="rrm-page")
        again = gr.Button("Look again", scale=1, elem_id="rrm-again")
    shown_html(f'<p class="rrm-told">{_WHAT}</p>')
    told = shown_html()
    table = shown_html(elem_id="rrm-table")
    root = desk.runs

    def find(present: str | None) -> dict[str, Any]:
        names = [one.name for one in find_runs(root)]
        value = present if present in names else next(iter(names), None)
        found: dict[str, Any] = gr.update(choices=names, value=value)
        return found

    def look_for_steps(name: str | None) -> tuple[dict[str, Any], int]:
        chosen = _run(desk, name)
        found = [] if chosen is None or chosen.kind is not Kind.TRAINING else steps(chosen)
        return gr.update(choices=found, value=found[-1] if found else None, visible=bool(found)), 1

    async def draw(name: str | None, number: int | None, show: str, at: float | None) -> tuple[str, str]:
        chosen = await asyncio.to_thread(_run, desk, name)
        if chosen is None:
            return f'<p class="rrm-told">No run was found below {root.name}.</p>', ""
        return await _drawn(desk, chosen, number, Show(show), max(1, int(at or 1)))

    options: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    inputs, outputs = [run, step, which, part], [told, table]
    gr.on([again.click], find, run, run, **options).then(draw, inputs, outputs, **options)
    run.change(look_for_steps, run, [step, part], **options).then(draw, inputs, outputs, **options)
    gr.on([step.input, which.input, part.change], draw, inputs, outputs, **options)
    # When somebody opens the page, so that everybody sees the runs of that moment.
    page.load(find, run, run, **options)


async def _drawn(desk: Desk, run: Run, step: int | None, show: Show, page: int) -> tuple[str, str]:
    if run.kind is Kind.PAIRS:
        every = await asyncio.to_thread(pairs, run)
        rows = shown_pairs(every, show)
        some = _page(rows, page)
        files = [(row.source, row.better.picture, row.worse.picture) for row in some]
        return _told(len(rows), len(every), page), pairs_table(some, await _pictures(desk, run, files))
    found = await asyncio.to_thread(steps, run)
    if not found or step not in found:
        return '<p class="rrm-told">This run has no table yet; look again later.</p>', ""
    before = await asyncio.to_thread(samples, run, found[0])
    after = await asyncio.to_thread(samples, run, step)
    chosen = shown_samples(before, after, show)
    rows_shown = _page(chosen, page)
    files = [(then.source, None if first is None else first.picture, then.picture) for first, then in rows_shown]
    drawn = samples_table(rows_shown, await _pictures(desk, run, files), step, found[0])
    return _told(len(chosen), len(after), page), drawn


async def _pictures(desk: Desk, run: Run, files: Sequence[Sequence[str | None]]) -> list[tuple[str | None, ...]]:
    def read() -> list[list[bytes | None]]:
        return [[picture(run, name) for name in row] for row in files]

    return [tuple(await shown(row, desk.limits)) for row in await asyncio.to_thread(read)]


def _page(rows: Sequence[T], page: int) -> Sequence[T]:
    return rows[(page - 1) * _ROWS : page * _ROWS]


def _told(count: int, of: int, page: int) -> str:
    pages = max(1, -(-count // _ROWS))
    return f'<p class="rrm-told">{count} of {of} rows; page {min(page, pages)} of {pages}</p>'


def _run(desk: Desk, name: str | None) -> Run | None:
    """A run by its name, and only one that is there: a browser may send any text."""
    return None if desk.runs is None else next((one for one in find_runs(desk.runs) if one.name == name), None)
