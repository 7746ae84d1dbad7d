"""Looks around in an image, as its root, and prints what it found as JSON; `check.py` sends it in."""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

USER = 10_001
TOOLS = ("gcc", "g++", "cc", "c++", "clang", "make", "cmake", "ninja", "ld", "as", "git", "pip", "pip3", "uv")
CACHES = ("~root/.cache", "/var/cache/pip", "/var/lib/apt/lists", "/var/cache/apt", "/wheels", "/src", "/tmp")  # noqa: S108 - looked at
ELSEWHERE = ("/proc", "/sys", "/dev", "/run")
"""Not the image's."""


def changeable(top: Path = Path("/")) -> Iterator[str]:
    """Files and folders that the image's user could change; a folder where everybody may add files is none."""
    for folder, folders, files in os.walk(top):
        folders[:] = [name for name in folders if os.path.join(folder, name) not in ELSEWHERE]
        for name in (*folders, *files):
            found = os.lstat(path := os.path.join(folder, name))
            if stat.S_ISLNK(found.st_mode) or found.st_mode & stat.S_ISVTX:
                continue
            owned = found.st_mode & stat.S_IWUSR and found.st_uid == USER
            shared = found.st_mode & stat.S_IWGRP and found.st_gid == USER
            if owned or shared or found.st_mode & stat.S_IWOTH:
                yield path


def main() -> None:
    """Print what there is."""
    packages = Path("/opt/edit-rrm").glob("lib/python*/site-packages/pip")
    found = {
        "tools": [name for name in TOOLS if shutil.which(name)],
        "caches": [name for name in CACHES if any(each.is_file() for each in Path(name).expanduser().rglob("*"))],
        "pip": any(packages) or Path("/etc/pip.conf").exists(),
        "changeable": sorted(changeable())[:10],
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
