"""What a benchmark found, printed and kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def told(found: Mapping[str, Any], out: Path | None) -> None:
    """Print findings as JSON, and write them to a file where one is given."""
    text = json.dumps(found, indent=2)
    print(text)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n", encoding="utf-8")
