"""Files and folders that are on the disk once they have their name, whatever happens to the machine."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def settle(unfinished: Path, final: Path) -> None:
    """Rename a file or a folder once all that is in it is on the disk, and have the new name there too.

    Without that a loss of power can leave the new name, and under it files that are empty or end too early.

    Args:
        unfinished: What was written, by any process of this machine; beside `final`.
        final: Its name from now on. A file there is replaced; a folder there has to be empty.

    Raises:
        OSError: The disk is full or broken; `final` is what it was, or what was written, but never a part of it.
    """
    for path in unfinished.rglob("*"):
        _flush(path)
    _flush(unfinished)
    unfinished.replace(final)
    _flush(final.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems know no fsync of folders, and say so like this.
        if not (path.is_dir() and error.errno == errno.EINVAL):
            raise
    finally:
        os.close(descriptor)
