"""Draw how the dashboards are laid out, from their JSON: `python -m deploy.grafana.pictures` writes docs/results.

A picture has every panel's place, title, unit and what it shows, and no data: where no Grafana runs there is none.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

FOLDER = Path(__file__).parents[2] / "docs" / "results" / "dashboards"
DASHBOARDS = Path(__file__).parent / "dashboards"
_COLUMNS = 24
_INCHES = 0.5
"""A column's width; a row of Grafana's grid is 0.6 of it, as on a screen."""
_HEIGHT = 0.6
_KINDS = {"timeseries": "#3274d9", "stat": "#56a64b", "heatmap": "#e0752d"}
_MARGIN = 0.08


def draw(board: dict[str, Any]) -> Figure:
    """A dashboard's layout."""
    panels = board["panels"]
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    head = 2.0
    figure = Figure(figsize=(_COLUMNS * _INCHES, (rows + head) * _INCHES * _HEIGHT), facecolor="white")
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0.0, _COLUMNS)
    axes.set_ylim(rows, -head)
    axes.set_axis_off()
    axes.text(0.2, -1.3, board["title"], fontsize=13, fontweight="bold", va="center", color="#1f1f1f")
    choices = "   ".join(f"{one['label']}: ${one['name']}" for one in board["templating"]["list"])
    axes.text(0.2, -0.5, choices, fontsize=7.5, va="center", color="#555555")
    for panel in panels:
        if panel["type"] == "row":
            place = panel["gridPos"]
            axes.text(0.2, place["y"] + 0.55, f"v  {panel['title']}", fontsize=9, fontweight="bold", va="center")
        else:
            _panel(axes, panel)
    return figure


def source_digest(text: str) -> str:
    """Of the JSON a picture was drawn from; the picture carries it, so that a stale one is found without drawing."""
    return hashlib.sha256(text.encode()).hexdigest()


def write(source: Path, target: Path) -> None:
    """Draw one file's dashboard, the same bytes every time."""
    text = source.read_text(encoding="utf-8")
    board = json.loads(text)
    # Text stays text: a picture of these is read, searched and compared.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": board["uid"], "font.family": "sans-serif"}):
        draw(board).savefig(
            target,
            format="svg",
            metadata={"Title": board["title"], "Description": f"sha256:{source_digest(text)}", "Date": None},
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw all of them."""
    parser = argparse.ArgumentParser(prog="deploy.grafana.pictures", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--out", type=Path, default=FOLDER)
    out = parser.parse_args(arguments).out
    out.mkdir(parents=True, exist_ok=True)
    for source in sorted(DASHBOARDS.glob("*.json")):
        write(source, out / f"{source.stem}.svg")
        print(source.stem)
    return 0


def _panel(axes: Axes, panel: dict[str, Any]) -> None:
    place = panel["gridPos"]
    left, top, width, height = place["x"], place["y"], place["w"], place["h"]
    colour = _KINDS[panel["type"]]
    axes.add_patch(
        FancyBboxPatch(
            (left + _MARGIN, top + _MARGIN),
            width - 2 * _MARGIN,
            height - 2 * _MARGIN,
            boxstyle="round,pad=0,rounding_size=0.12",
            facecolor="#f7f8fa",
            edgecolor=colour,
            linewidth=0.9,
        )
    )
    # A character of the small type is about a tenth of a column wide.
    letters = max(12, int(width * 9.5))
    line = top + 0.75
    for part in wrap(panel["title"], max(12, int(width * 6.0))):
        axes.text(left + 0.3, line, part, fontsize=7.5, fontweight="bold", va="center")
        line += 0.7
    unit = panel["fieldConfig"]["defaults"]["unit"].removeprefix("suffix:").strip()
    axes.text(left + 0.3, line, f"{panel['type']}, unit {unit}", fontsize=6, va="center", color=colour)
    line += 0.75
    if height < 6:
        return
    for part in wrap(panel["description"], letters)[:4]:
        axes.text(left + 0.3, line, part, fontsize=6, va="center", color="#444444")
        line += 0.65
    legends = "  ".join(f"[{target['legendFormat']}]" for target in panel["targets"])
    for part in wrap(legends, letters)[:2]:
        axes.text(left + 0.3, top + height - 0.55, part, fontsize=6, va="center", color="#777777")
        top -= 0.6


if __name__ == "__main__":
    sys.exit(main())
