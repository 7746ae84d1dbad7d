"""The tab *Compare judges*: one edit under two services, or two ways of verifying, with what they differ in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Final

import gradio as gr

from edit_rrm.principles import Principle
from edit_rrm.verdicts import ErrorDetail, Mode, Reward
from edit_rrm_service.ui.asking import Question, UnansweredError, judged
from edit_rrm_service.ui.comparison_html import comparison
from edit_rrm_service.ui.desk import HERE, Desk, chosen_html, key_from, shown, shown_html
from edit_rrm_service.ui.judge_tab import NothingToJudgeError, asked
from edit_rrm_service.ui.judgement_html import trouble

_WAITING: Final = '<p class="rrm-told" role="status">Two judges look at it.</p>'
_SEPARATOR: Final = " · "


def compare_tab(desk: Desk) -> None:
    """Build the tab, inside of `gr.Blocks`."""
    choices = [f"{name}{_SEPARATOR}{mode.value}" for name in desk.services for mode in Mode]
    other = next((one for one in choices if not one.startswith(HERE)), choices[1])
    with gr.Row():
        with gr.Column(scale=1, min_width=320):
            source = gr.File(label="Source image", file_count="single", height=110, elem_id="rrm-compare-source")
            source_shown = shown_html()
            edit = gr.File(label="Edited image", file_count="single", height=110, elem_id="rrm-compare-edit")
            edit_shown = shown_html()
            instruction = gr.Textbox(label="Instruction", elem_id="rrm-compare-instruction")
            left = gr.Dropdown(choices, value=choices[0], label="One judge", elem_id="rrm-left")
            right = gr.Dropdown(choices, value=other, label="The other", elem_id="rrm-right")
            same = gr.Checkbox(True, label="Both judge by the principles that the first one writes")
            other_key = gr.Textbox(
                label="API key of other services",
                type="password",
                visible=len(desk.services) > 1,
                elem_id="rrm-other-key",
            )
            compare = gr.Button("Compare", variant="primary", elem_id="rrm-compare")
        with gr.Column(scale=2, min_width=320):
            result = shown_html('<p class="rrm-told">Nothing has been compared yet.</p>', elem_id="rrm-compared")

    async def look(path: Any) -> str:
        return await chosen_html(path, desk.limits)

    async def ask(
        request: gr.Request, choice: str, question: Question, key: str | None
    ) -> tuple[Reward | ErrorDetail, tuple[Principle, ...] | None]:
        service, _, mode = choice.rpartition(_SEPARATOR)
        # A key that this service was given goes to no other.
        shown_key = key_from(request) if service == HERE else key or None
        try:
            reply = await judged(desk.services[service], replace(question, mode=Mode(mode)), shown_key)
        except UnansweredError as error:
            return error.detail, None
        return reply.results[0], reply.principles

    async def run(
        request: gr.Request,
        source_path: str | None,
        edit_path: str | None,
        said: str | None,
        one: str,
        two: str,
        together: bool,
        key: str | None,
    ) -> AsyncIterator[str]:
        yield _WAITING
        try:
            edits = None if edit_path is None else [edit_path]
            question = await asyncio.to_thread(asked, source_path, edits, said, Mode.THINK.value)
        except NothingToJudgeError as error:
            yield trouble(ErrorDetail(code="not sent", message=str(error)))
            return
        first, principles = await ask(request, one, question, key)
        second, _ = await ask(request, two, replace(question, principles=principles if together else None), key)
        pictures = await shown([question.source.data, question.edited[0].data], desk.limits)
        yield comparison((one, first), (two, second), pictures[0], pictures[1], question.edited[0].name)

    options: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    source.change(look, source, source_shown, **options)
    edit.change(look, edit, edit_shown, **options)
    inputs = [source, edit, instruction, left, right, same, other_key]
    gr.on([compare.click, instruction.submit], run, inputs, result, trigger_mode="once", **options)
