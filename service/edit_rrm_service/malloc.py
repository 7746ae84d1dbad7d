"""Has memory that a large image took given back when the image is gone."""

from __future__ import annotations

import ctypes
import os
import sys

_M_MMAP_THRESHOLD = -3
"""Of glibc's malloc.h."""
_LARGE = 2**20


def give_back_large_blocks() -> None:
    """Tell glibc's malloc to take blocks of a megabyte or more from the system, and give them back when freed.

    By itself it raises that limit to 32 MiB as such blocks come and go, and keeps what is below in an arena of each
    thread: hundreds of megabytes after a few images of 16 million pixels. Does nothing under another allocator or where
    `MALLOC_MMAP_THRESHOLD_` is set.
    """
    if sys.platform == "linux" and "MALLOC_MMAP_THRESHOLD_" not in os.environ:
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, _LARGE)
