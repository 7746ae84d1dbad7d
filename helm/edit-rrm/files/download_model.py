"""Fetches a pinned revision of a judge before the service starts, which then needs no network.

A folder that was completed once is not fetched again, and not even asked for: a hub that is away keeps no pod from
restarting. Pods that share a volume wait for one another at the hub client's own locks.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

FILES = ["*.safetensors", "*.json", "*.txt", "*.jinja"]


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> str | None:
    """Return None, or what is wrong."""
    folder = Path(os.environ["MODEL_FOLDER"])
    wanted: dict[str, str] = json.loads(os.environ.get("MODEL_SHA256", "{}"))
    complete = folder / ".complete"
    # Files of the volume may have been checked against other digests than today's.
    checked = json.dumps(wanted, sort_keys=True)
    if complete.is_file() and complete.read_text() == checked:
        print(f"{folder} is complete")
        return None
    from huggingface_hub import snapshot_download

    snapshot_download(
        os.environ["MODEL_REPOSITORY"],
        revision=os.environ["MODEL_REVISION"],
        local_dir=folder,
        allow_patterns=FILES,
    )
    for name, expected in wanted.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is not in the revision; correct model.download.sha256"
        if (found := digest(path)) != expected:
            path.unlink()
            return f"{name} has SHA-256 {found} and not {expected}; it was deleted"
    complete.write_text(checked)
    print(f"{folder} is complete")
    return None


if __name__ == "__main__":
    sys.exit(main())
