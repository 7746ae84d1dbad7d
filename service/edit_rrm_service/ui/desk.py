"""What the page's tabs work with: the service they ask, other services, and files that somebody chose."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

import gradio as gr
import httpx2

from edit_rrm_service.images import ImageLimits
from edit_rrm_service.ui.asking import ChosenImage
from edit_rrm_service.ui.gate import COOKIE, key_of
from edit_rrm_service.ui.thumbnails import thumbnail

HERE: Final = "this service"
_SMALL_SIDE: Final = 176


@dataclass(frozen=True, slots=True)
class Desk:
    """What all tabs share."""

    services: Mapping[str, httpx2.AsyncClient]
    """By the names that people choose from; `HERE` is this one."""
    limits: ImageLimits
    wants_key: bool
    runs: Path | None
    """Folder whose runs may be looked at."""

    @property
    def here(self) -> httpx2.AsyncClient:
        """This service."""
        return self.services[HERE]


def shown_html(value: str = "", elem_id: str | None = None) -> gr.HTML:
    """HTML of ours, in our own style alone."""
    return gr.HTML(value, elem_id=elem_id, apply_default_css=False)


def key_from(request: gr.Request) -> str | None:
    """The API key that somebody gave the page."""
    return key_of(request.cookies.get(COOKIE))


def public_url(request: gr.Request) -> str:
    """The address that a browser has this service at."""
    assert request.request is not None, "a page is opened by a request"
    return str(request.request.base_url).split("/ui")[0].rstrip("/")


def chosen(path: str) -> ChosenImage:
    """A file that somebody chose, by where the page's server has put it. Blocking.

    Raises:
        gr.Error: It is no longer there.
    """
    try:
        return ChosenImage(Path(path).name, Path(path).read_bytes())
    except OSError:
        raise gr.Error(f"{Path(path).name} is no longer here; choose it again") from None


async def shown(images: Sequence[bytes | None], limits: ImageLimits, *, small: bool = False) -> list[str | None]:
    """Data URLs of pictures, made off the event loop; None of what is none."""
    sides = {"max_side": _SMALL_SIDE} if small else {}

    def all_of_them() -> list[str | None]:
        return [None if data is None else thumbnail(data, limits, **sides) for data in images]

    return await asyncio.to_thread(all_of_them)


async def chosen_html(paths: str | Sequence[str] | None, limits: ImageLimits) -> str:
    """Small pictures of chosen files, with their names."""
    listed = [paths] if isinstance(paths, str) else list(paths or ())
    images = [await asyncio.to_thread(chosen, path) for path in listed]
    pictures = await shown([image.data for image in images], limits, small=True)
    figures = "".join(
        f"<figure>{'no picture' if url is None else _image(url)}<figcaption>{escape(image.name)}</figcaption></figure>"
        for image, url in zip(images, pictures, strict=True)
    )
    return f'<div class="rrm-chosen">{figures}</div>'


def _image(url: str) -> str:
    return f'<img src="{url}" alt="">'
