"""What docs/editor-training.md and docs/nano-editor.md have to say of what was measured, in their own words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from edit_rrm_training.editor.curves import read_run

ROOT: Final = Path(__file__).parents[3]
PAGE: Final = ROOT / "docs" / "editor-training.md"
STORY: Final = ROOT / "docs" / "nano-editor.md"
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


def held_out(name: str) -> dict[str, Any]:
    """A report of one editor's 500 held-out edits, which take minutes to make again."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}-held-out.json").read_text(encoding="utf-8"))
    (report,) = found["editors"].values()
    assert (report["split"], report["edits"]) == ("held-out", 500)
    return found


def held_out_cells(name: str) -> str:
    """Cells of what one editor's held-out edits came to."""
    (editor,) = held_out(name)["editors"].values()
    return " | ".join([interval(editor["success"]), *(f"{editor[one]['value']:.1%}" for one in ("done", "kept"))])


def curve_rows(folders: Sequence[Path]) -> list[str]:
    """The rows that runs side by side have: of every evaluation the judge's mean, and the oracle's measures."""
    runs = [read_run(folder).evaluations for folder in folders]
    assert len({tuple(one.step for one in run) for run in runs}) == 1
    cells = [[f"{one.evaluation['judge']:.3f} | {shares(one.evaluation)}" for one in run] for run in runs]
    return [f"| {one.step} | {' | '.join(row)} |" for one, *row in zip(runs[0], *cells, strict=True)]
