"""The pages that readers see, and what is in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
OTHERS = [ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "helm/edit-rrm/README.md", "deploy/README.md")]
"""Pages of the site that are not in docs/, and what is read in the repository only."""

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """Fenced code of a page."""

    page: str
    text: str


def blocks(*languages: str, pages: list[Path] | None = None) -> list[Block]:
    """Fenced code in one of these languages, in the pages' order."""
    return [
        Block(page.relative_to(ROOT).as_posix(), text)
        for page in (PAGES if pages is None else pages)
        for language, text in _BLOCK.findall(page.read_text(encoding="utf-8"))
        if language in languages
    ]
