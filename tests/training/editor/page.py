"""What docs/editor-training.md has to say of what was measured, in its own words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[3]
PAGE: Final = ROOT / "docs" / "editor-training.md"
RESULTS: Final = ROOT / "docs" / "results" / "editor"
MEASURES: Final = ("success", "done", "kept")


def shares(measured: Mapping[str, float]) -> str:
    """Cells of success, done and kept."""
    return " | ".join(f"{measured[name]:.1%}" for name in MEASURES)


def interval(share: Mapping[str, Any]) -> str:
    """A share with its 95% interval."""
    return f"{share['value']:.1%} ({100 * share['low']:.1f} to {100 * share['high']:.1f})"


def gain(change: Mapping[str, float], unit: str = "") -> str:
    """A difference in points with its 95% interval."""
    return f"{100 * change['value']:+.1f}{unit} ({100 * change['low']:+.1f} to {100 * change['high']:+.1f})"


def gains(changes: Mapping[str, Mapping[str, float]]) -> str:
    """Cells of what success, done and kept gained."""
    return " | ".join(gain(changes[name], " points" if name == "success" else "") for name in MEASURES)
