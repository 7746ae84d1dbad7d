"""The Chromium that the page is tested in: Debian's. `python -m tests.ui.chromium` installs it where it is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_chromium() -> str | None:
    """Path of a browser: what EDIT_RRM_CHROMIUM names, or the first one that this machine has."""
    named = os.environ.get("EDIT_RRM_CHROMIUM")
    return named or next((path for name in NAMES if (path := shutil.which(name)) is not None), None)


def main() -> int:
    """Install a browser where there is none."""
    found = find_chromium()
    if found is None:
        if shutil.which("apt-get") is None or os.geteuid() != 0:
            sys.stderr.write(
                "the page is tested in Chromium, which is not here: install it (as root: apt-get install chromium), or "
                "name a Chrome with EDIT_RRM_CHROMIUM\n"
            )
            return 1
        quiet = {"stdout": subprocess.DEVNULL, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
        subprocess.run(["apt-get", "update", "-qq"], check=True, **quiet)  # type: ignore[call-overload]  # of two kinds
        subprocess.run(["apt-get", "install", "-y", "-qq", "chromium"], check=True, **quiet)  # type: ignore[call-overload]  # of two kinds
        found = find_chromium()
    sys.stdout.write(f"{found}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
