"""Runs `edit-rrm` as a user does: in a process of its own, with both streams caught."""

from __future__ import annotations

import os
import subprocess
import sys

_QUIET = {name: value for name, value in os.environ.items() if not name.startswith("EDIT_RRM_")}


def edit_rrm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `edit-rrm` with arguments; without the settings that the developer's own environment may have."""
    return subprocess.run(
        [sys.executable, "-m", "edit_rrm_service", *arguments],
        env={**_QUIET, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
