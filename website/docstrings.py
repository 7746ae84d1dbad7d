"""Docstrings as the site reads them: what reStructuredText writes with two colons before an example has one."""

from __future__ import annotations

import re
from typing import Any

import griffe

_BEFORE_AN_EXAMPLE = re.compile(r"(^ *| )?::$", re.MULTILINE)


class TwoColons(griffe.Extension):  # type: ignore[misc]  # griffe is not type-checked
    """Mends every docstring before it is rendered."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Mend one."""
        if obj.docstring is not None:
            obj.docstring.value = mended(obj.docstring.value)


def mended(docstring: str) -> str:
    """One colon in the place of two at a line's end, and none in the place of two that stand alone."""
    return _BEFORE_AN_EXAMPLE.sub(lambda found: ":" if found[1] is None else "", docstring)
