"""The page: what judges here, and three tabs."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from typing import Final

import gradio as gr

from edit_rrm_service.ui.asking import UnansweredError, identity
from edit_rrm_service.ui.compare_tab import compare_tab
from edit_rrm_service.ui.desk import Desk, key_from, shown_html
from edit_rrm_service.ui.judge_tab import judge_tab
from edit_rrm_service.ui.runs_tab import runs_tab

TITLE: Final = "Edit-RRM"
_FILES: Final = files("edit_rrm_service.ui")
CSS: Final = _FILES.joinpath("page.css").read_text(encoding="utf-8")
HEAD: Final = (
    '<meta name="color-scheme" content="light dark">'
    f"<script>{_FILES.joinpath('page.js').read_text(encoding='utf-8')}</script>"
)
_FORGET: Final = '<form method="post" action="forget"><button class="rrm-forget">Forget my key</button></form>'
_KEPT_S: Final = 3_600


def make_page(desk: Desk) -> gr.Blocks:
    """Build the page."""
    # Files that were chosen are deleted an hour later, and when the service stops.
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(600, _KEPT_S), fill_width=True) as made:
        head = shown_html(_head("", ""), elem_id="rrm-head")
        with gr.Tab("Judge", id="judge"):
            judge_tab(desk)
        with gr.Tab("Compare judges", id="compare"):
            compare_tab(desk)
        with gr.Tab("Runs", id="runs"):
            runs_tab(desk, made)
        if desk.wants_key:
            shown_html(_FORGET)

        async def who_judges(request: gr.Request) -> str:
            try:
                judge = await identity(desk.here, key_from(request))
            except UnansweredError as error:
                return _head("", f"No judge yet: {error.detail.message}.")
            return _head(f"{judge.name}, identity {judge.identity[:12]}", judge.summary)

        made.load(who_judges, None, head, api_visibility="private", show_progress="hidden")
    page: gr.Blocks = made
    return page


def _head(judge: str, summary: str) -> str:
    """Who judges, and what that judge can and cannot do, in its card's own words."""
    return (
        f'<header class="rrm-head"><h1>{TITLE}</h1><p><strong>{escape(judge)}</strong></p>'
        f"<p>{escape(summary)}</p></header>"
    )
