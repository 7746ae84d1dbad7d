"""Source pictures of prompts: opened, and all of a file's looked through before a run begins."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from PIL import Image

from edit_rrm_client import InvalidImageError
from edit_rrm_client.images import encode_image
from edit_rrm_training.editor.policies.base import Size
from edit_rrm_training.editor.policies.fitting import size_of
from edit_rrm_training.editor.progress import Counted, unheard

_THREADS: Final = min(16, os.cpu_count() or 1)
"""Pictures that are decoded at a time; Pillow's decoders leave the interpreter to the others meanwhile."""


class SourceError(ValueError):
    """A source that cannot be edited; the message names it and says why."""


def open_source(path: Path) -> Image.Image:
    """Decode a picture.

    Raises:
        OSError: It is not there, or is cut short.
        Exception: It is damaged; decoders raise whatever they like.
    """
    with Image.open(path) as image:
        image.load()
        return image.copy()


def look_through(sources: Mapping[Path, str], told: Counted = unheard) -> dict[Path, Size | SourceError]:
    """Decode pictures, each once, and look whether they can be sent to the judge.

    Args:
        sources: What to call each in a message.
        told: Is told how many are done.

    Returns:
        For each its upright size, or what is wrong with it.
    """
    found: dict[Path, Size | SourceError] = {}
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="edit-rrm-sources") as pool:
        for path, size in zip(sources, pool.map(_looked_at, sources, sources.values()), strict=True):
            found[path] = size
            told(len(found), len(sources))
    return found


def _looked_at(path: Path, name: str) -> Size | SourceError:
    try:
        picture = open_source(path)
        # A corner has the mode, palette and metadata of the whole, which is all that an encoder can refuse.
        encode_image(picture.crop((0, 0, 1, 1)), "ppm")
        return size_of(picture)
    except FileNotFoundError:
        return SourceError(f"there is no {name}")
    except InvalidImageError as error:
        return SourceError(f"{name}: {error}")
    except Exception as error:  # decoders raise whatever they like on damaged files
        return SourceError(f"{name} is no picture that can be decoded ({' '.join(str(error).split())})")
