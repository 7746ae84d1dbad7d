"""The figure of `curves`: what of it is where, and how it looks. Imports matplotlib, so it is itself imported late."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from edit_rrm_training.editor.curves import Evaluation, Floats, Run, Step, smoothed

# Okabe and Ito's colours, which people with any colour vision tell apart, without the yellow that white swallows.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_LINES = ("-", "--", ":", "-.")
_MARKERS = ("o", "s", "^", "D", "v")
_GREY = "#555555"
# They differ in lightness too. Waiting, which is what one wants to be rid of, is the one that stands out.
_PARTS = (
    ("sampling_s", "sampling", "#44546A"),
    ("updating_s", "update", "#93A3BA"),
    ("waited_s", "waiting for scores", "#F2B84B"),
)
_LONGEST = 28
"""Letters of a name."""
_HANDLE = 7
"""Letters that would fit where a legend's column has its line or patch."""
_WIDTH_INCHES, _DPI = 8.0, 150

_DOTS: dict[str, Any] = {
    "linestyle": "--",
    "linewidth": 1.2,
    "marker": "o",
    "markersize": 4.5,
    "markerfacecolor": "white",
    "markeredgewidth": 1.3,
}

_STYLE: dict[str, Any] = {
    "figure.dpi": _DPI,
    "savefig.dpi": _DPI,
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#999999",
    "axes.labelcolor": _GREY,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "xtick.color": _GREY,
    "ytick.color": _GREY,
    "legend.frameon": False,
    "legend.borderaxespad": 0.0,
    "legend.borderpad": 0.0,
    "legend.handlelength": 2.2,
    "svg.hashsalt": "edit-rrm",
}


def drawn(runs: Sequence[Run], kind: str) -> bytes:
    """A file of runs' figure: a ``png``, 1200 pixels wide, or an ``svg``."""
    file = io.BytesIO()
    # The figure is an object of its own and the style is taken back: a run's process may draw with matplotlib itself.
    # "default" first, so that a picture does not depend on whose machine drew it.
    with style.context(["default", _STYLE]):
        figure = Figure(layout=ConstrainedLayoutEngine(h_pad=0.08))
        _fill(figure, runs)
        # Without the date, the same runs are the same file.
        figure.savefig(file, format=kind, metadata={"Date": None} if kind == "svg" else {})
    return file.getvalue()


def _fill(figure: Figure, runs: Sequence[Run]) -> None:
    """Three panels: rewards beside held-out measures, so that rewards that rise alone show; below them the seconds."""
    single = len(runs) == 1
    below = 1.7 if single else 0.95 + 0.25 * len(runs)
    above = 3.3
    legend_rows = _legend(figure, runs)
    figure.set_size_inches(_WIDTH_INCHES, above + below + 0.1 + 0.2 * legend_rows)
    # Figures of their own, so that long names beside the bars do not push the panels above them together.
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[above, below], hspace=0.06).flat
    rewards, held_out = upper.subplots(1, 2)
    seconds = lower.subplots()
    _draw_rewards(rewards, runs)
    _draw_held_out(held_out, runs)
    if single and len(runs[0].steps) > 1:
        _draw_seconds_over_steps(seconds, runs[0])
    else:
        _draw_mean_seconds(seconds, runs)
    last = max(entry.step for run in runs for entry in (*run.steps, *run.evaluations))
    for panel in (rewards, held_out):
        panel.set_xlabel("steps done")
        # One scale for both, so that what happens at one time is at one place.
        panel.set_xlim(-0.02 * max(1, last), 1.02 * max(1, last))
        panel.xaxis.set_major_locator(_round(6, whole=True))


def _legend(figure: Figure, runs: Sequence[Run]) -> int:
    """Name the runs above the panels; returns how many rows that takes."""
    if len(runs) == 1:
        figure.suptitle(_shown(runs[0].label), x=0.01, ha="left", fontsize=9.5, color=_GREY)
        return 1
    labels = [_shown(run.label) for run in runs]
    columns = _columns(labels, 100)
    handles = [_line(color=colour, linewidth=3) for colour in _COLOURS[: len(runs)]]
    figure.legend(handles, labels, loc="outside upper left", ncols=columns, fontsize=9.5, borderaxespad=0.7)
    return _rows(labels, columns)


def _draw_rewards(panel: Axes, runs: Sequence[Run]) -> None:
    for run, colour in zip(runs, _COLOURS, strict=False):
        numbers, rewards = _numbers(run.steps), _values(step.reward for step in run.steps)
        panel.plot(numbers, rewards, color=colour, linewidth=0.7, alpha=0.35)
        panel.plot(numbers, smoothed(rewards), color=colour, linewidth=1.8)
        judged = _values(one.reward for one in run.evaluations)
        panel.plot(_numbers(run.evaluations), judged, color=colour, markevery=_every(judged), **_DOTS)
    handles = [
        _line(color=_GREY, linewidth=0.7, alpha=0.5),
        _line(color=_GREY, linewidth=1.8),
        _line(color=_GREY, **_DOTS),
    ]
    alone = all(one.rewards is None for run in runs for one in run.evaluations)
    _title(panel, "Reward (trained on)", handles, ["step", "smoothed", "evaluation (judge)" if alone else "evaluation"])


def _draw_held_out(panel: Axes, runs: Sequence[Run]) -> None:
    names = list(dict.fromkeys(name for run in runs for one in run.evaluations for name in one.held_out))
    kinds: list[dict[str, Any]] = [
        {"linestyle": _LINES[number % len(_LINES)], "marker": _MARKERS[number % len(_MARKERS)], "markersize": 3.2}
        for number in range(len(names))
    ]
    for run, colour in zip(runs, _COLOURS, strict=False):
        for name, kind in zip(names, kinds, strict=True):
            values = _values(one.held_out.get(name) for one in run.evaluations)
            panel.plot(_numbers(run.evaluations), values, color=colour, linewidth=1.5, markevery=_every(values), **kind)
    handles = [_line(color=_GREY, linewidth=1.2, **kind) for kind in kinds]
    _title(panel, "Held-out measures (never trained on)", handles, [_shown(name) for name in names])
    if not names:
        _say(panel, "no held-out measure was logged")


def _draw_seconds_over_steps(panel: Axes, run: Run) -> None:
    parts = [smoothed(_values(getattr(step, field) for step in run.steps)) for field, _, _ in _PARTS]
    areas = panel.stackplot(
        _numbers(run.steps), *parts, colors=[colour for *_, colour in _PARTS], edgecolor="white", linewidth=0.5
    )
    panel.set_xlabel("steps done")
    panel.margins(x=0.01)
    panel.set_ylim(bottom=0.0)
    panel.xaxis.set_major_locator(_round(10, whole=True))
    panel.yaxis.set_major_locator(_round(4, whole=False))
    _title(panel, "Seconds of a step, smoothed", areas, [name for _, name, _ in _PARTS])


def _draw_mean_seconds(panel: Axes, runs: Sequence[Run]) -> None:
    if not any(run.steps for run in runs):
        _title(panel, "Seconds of a step", [], [])
        _say(panel, "no step was made yet")
        return
    rows = np.arange(len(runs))
    begin = np.zeros(len(runs))
    bars = []
    for field, _, colour in _PARTS:
        means = np.array([np.mean([getattr(step, field) for step in run.steps] or [0.0]) for run in runs])
        bars.append(panel.barh(rows, means, 0.7, begin, color=colour, edgecolor="white", linewidth=0.8))
        begin += means
    for row, run, total in zip(rows, runs, begin, strict=True):
        panel.annotate(
            f"{total:.1f} s" if run.steps else "no step yet",
            (total, row),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            color=_GREY,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
        )
    panel.set_yticks(rows, [_shown(run.label) for run in runs])
    panel.tick_params(axis="y", length=0)
    panel.invert_yaxis()
    panel.grid(visible=False, axis="y")
    panel.set_xlim(0.0, 1.1 * float(begin.max()) or 1.0)
    _title(panel, "Seconds of a step, means", bars, [name for _, name, _ in _PARTS])


def _line(**looks: Any) -> Line2D:
    """A line of a legend."""
    return Line2D([], [], **looks)


def _round(count: int, *, whole: bool) -> MaxNLocator:
    """Puts ticks at round numbers."""
    return MaxNLocator(nbins=count, steps=[1, 2, 5, 10], integer=whole)


def _every(values: Floats) -> int:
    """Every how manieth value gets a marker: all of them, until they would touch."""
    return 1 + len(values) // 16


def _title(panel: Axes, title: str, handles: Sequence[Any], labels: Sequence[str]) -> None:
    """Name a panel, and say below the name what is what: inside, it would cover what is drawn."""
    columns = _columns(labels, 54)
    panel.set_title(title, pad=6.0 + 13.0 * max(1, _rows(labels, columns)))
    legend = panel.legend(
        handles,
        labels,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.02),
        ncols=columns,
        columnspacing=1.2,
        labelcolor=_GREY,
    )
    # The title's distance has made room for it; a long one must not push the panels apart.
    legend.set_in_layout(False)


def _columns(labels: Sequence[str], room: int) -> int:
    """The most columns of a legend that fit beside each other, in a room of so many letters."""
    for columns in range(len(labels), 1, -1):
        widths = [max(map(len, column)) for column in np.array_split(np.array(labels, dtype=object), columns)]
        if sum(widths) + _HANDLE * columns <= room:
            return columns
    return 1


def _rows(labels: Sequence[str], columns: int) -> int:
    return math.ceil(len(labels) / columns)


def _say(panel: Axes, text: str) -> None:
    panel.text(0.5, 0.5, text, transform=panel.transAxes, ha="center", va="center", color=_GREY)
    panel.set_axis_off()


def _shown(name: str) -> str:
    """A name as matplotlib draws it as it is: dollars would begin a formula."""
    # Cut in the middle: names of runs that are compared often differ at their ends.
    half = _LONGEST // 2
    cut = name if len(name) <= _LONGEST else f"{name[: half - 1]}…{name[-half:]}"
    return cut.replace("$", r"\$")


def _numbers(entries: Sequence[Step] | Sequence[Evaluation]) -> list[int]:
    return [entry.step for entry in entries]


def _values(found: Iterable[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in found], dtype=np.float64)
