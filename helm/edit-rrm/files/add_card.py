"""Makes a folder of links to a checkpoint's files and a judge card of its own: the volume stays as it is."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

CARD = "edit_rrm.json"


def main(checkpoint: Path, card: Path, judge: Path) -> str | None:
    """Return None, or what is wrong."""
    if not (checkpoint / "config.json").is_file():
        return f"{checkpoint} has no config.json; point model.claim.path at a checkpoint"
    # A container that is restarted finds what the last one made.
    for old in judge.iterdir():
        old.unlink()
    for file in checkpoint.iterdir():
        if file.is_file() and file.name != CARD and not file.name.startswith("."):
            (judge / file.name).symlink_to(file)
    shutil.copyfile(card, judge / CARD)
    return None


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
