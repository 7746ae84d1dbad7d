"""Has memory that a large image took given back when the image is gone, and that of usual ones kept for the next."""

from __future__ import annotations

import ctypes
import os
import sys

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
"""Both of glibc's malloc.h."""
_LARGE = 8 * 2**20
"""Pixels of an image of 1024 x 1024, which Pillow holds in four bytes each, are half of that."""
_KEPT = 16 * 2**20
"""At the end of each thread's arena: what decoding one image of that size takes."""


def give_back_large_blocks() -> None:
    """Tell glibc's malloc to take large blocks from the system, give them back when freed, and keep smaller ones.

    By itself it raises its limit of what is large to 32 MiB as such blocks come and go, and keeps what is below in an
    arena of each thread: hundreds of megabytes after a few images of 16 million pixels. With a limit so low that usual
    images are above it, or with nothing kept, every image's pages would be zeroed and mapped anew: 1,100 page faults
    and a third of the time for one of 512 x 512. Does nothing under another allocator, or where
    `MALLOC_MMAP_THRESHOLD_` is set.
    """
    if sys.platform == "linux" and "MALLOC_MMAP_THRESHOLD_" not in os.environ:
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, _LARGE)
            mallopt(_M_TRIM_THRESHOLD, _KEPT)
