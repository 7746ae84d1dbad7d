"""The command line with a wall clock that jumps: `python -m tests.fakes.jumping_clock serve`.

`EDIT_RRM_CLOCK_FILE` names a file of eight bytes, the seconds (a little-endian double) by which the clock is wrong.
vLLM's processes import this module again, so theirs is wrong alike.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path

from edit_rrm_service.cli import main

VARIABLE = "EDIT_RRM_CLOCK_FILE"


def set_clock(path: Path, seconds: float) -> None:
    """Make the clock wrong by so many seconds, in place: the file may be mapped already."""
    with path.open("r+b" if path.exists() else "wb") as file:
        file.write(struct.pack("<d", seconds))


def _install(path: Path) -> None:
    with path.open("rb") as file:
        shared = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
    right, right_ns = time.time, time.time_ns
    time.time = lambda: right() + struct.unpack("<d", shared[:8])[0]
    time.time_ns = lambda: right_ns() + round(struct.unpack("<d", shared[:8])[0] * 1e9)


if __name__ in ("__main__", "__mp_main__"):
    _install(Path(os.environ[VARIABLE]))
    if __name__ == "__main__":
        main()
