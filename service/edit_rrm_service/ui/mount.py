"""Puts the page on a service, at `/ui`."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
from fastapi import FastAPI

from edit_rrm_service.auth import KeyRing
from edit_rrm_service.settings import Settings
from edit_rrm_service.ui.gate import PATH, Gate

_TIMEOUT_S: Final = 600.0


class PageError(Exception):
    """The page cannot be made; the message says what to install."""


def mount_page(app: FastAPI, settings: Settings, keys: KeyRing, over: asyncio.Event) -> None:
    """Add the page to an application, behind its gate.

    Args:
        app: The service, whose other routes are there already.
        settings: The service's own.
        keys: Who may use it.
        over: Set when the service ends.

    Raises:
        PageError: Gradio is not installed.
    """
    folder = tempfile.mkdtemp(prefix="edit-rrm-ui-")
    # Read when Gradio is imported or a page is made: nobody is told that this page exists.
    os.environ.update(GRADIO_ANALYTICS_ENABLED="False", GRADIO_TEMP_DIR=folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Gradio's own, on importing what it brings along
            import gradio as gr

            from edit_rrm_service.ui.page import CSS, HEAD, make_page
    except ImportError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise PageError(f"the page wants Gradio ({error}); install it: pip install 'edit-rrm[ui]'") from error
    from edit_rrm_service.ui.desk import HERE, Desk
    from edit_rrm_service.ui.examples import FOLDER

    # In this process, through everything that other callers meet: keys, limits, outcomes.
    own = httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app, raise_app_exceptions=False),
        base_url="http://edit-rrm",
        timeout=None,
    )
    others = {url: httpx2.AsyncClient(base_url=url, timeout=_TIMEOUT_S) for url in settings.ui_judges}
    desk = Desk({HERE: own, **others}, settings.image_limits, keys.wanted, settings.ui_runs)
    page = make_page(desk)
    # People do not wait for each other here; what may be judged at a time is the service's to say.
    page.queue(default_concurrency_limit=None, api_open=False)
    gr.mount_gradio_app(
        app,
        page,
        PATH,
        theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        css=CSS,
        head=HEAD,
        footer_links=[],
        run_history=False,
        pwa=False,
        ssr_mode=False,
        mcp_server=False,
        max_file_size=settings.max_image_bytes,
        allowed_paths=[str(FOLDER)],
        show_error=True,
        app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
    )
    app.add_middleware(Gate, keys=keys, over=over, files=Path(folder))
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(served: Any) -> AsyncIterator[Any]:
        async with inner(served) as state:
            try:
                yield state
            finally:
                for http in (own, *others.values()):
                    await http.aclose()
                shutil.rmtree(folder, ignore_errors=True)

    app.router.lifespan_context = lifespan
