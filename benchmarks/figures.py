"""A run of all benchmarks as one picture: rates beside each other, and how a reward's cost grows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

_OURS: Final = "#2166ac"
_OTHERS: Final = "#9a9a9a"
_COLUMNS: Final = 4


def draw(found: Mapping[str, Any], path: Path) -> bool:
    """Draw what there is.

    Args:
        found: By part, as `python -m benchmarks` writes it.
        path: For a PNG.

    Returns:
        Whether there was anything to draw.
    """
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    rates = {part: of["rates"] for part, of in found.items() if part.startswith(("probe", "think"))}
    if "overhead" in found:
        rates["a judge of 0.5 s, 16 callers"] = found["overhead"]["callers"]["rates"]
    growth = found.get("growth", {}).get("growth", {})
    if not rates and not growth:
        return False
    panels = len(rates) + len(growth)
    rows = -(-panels // _COLUMNS)
    figure, axes = plt.subplots(rows, _COLUMNS, figsize=(4.2 * _COLUMNS, 2.6 * rows), layout="constrained")
    places = iter(axes.flat)
    for part, of in rates.items():
        _bars(next(places), part, of)
    for what, points in growth.items():
        _curve(next(places), what, points, found["growth"]["exponents"][what])
    for unused in places:
        unused.axis("off")
    figure.savefig(path, dpi=90)
    plt.close(figure)
    return True


def _bars(axes: Any, title: str, rates: Mapping[str, Mapping[str, float]]) -> None:
    """Rewards a second by contender: medians, and lines from the least to the most."""
    names = list(rates)[::-1]
    medians = [rates[name]["median"] for name in names]
    spans = [
        [median - rates[name]["least"] for name, median in zip(names, medians, strict=True)],
        [rates[name]["most"] - median for name, median in zip(names, medians, strict=True)],
    ]
    colours = [_OURS if name.startswith("edit-rrm") else _OTHERS for name in names]
    axes.barh(names, medians, xerr=spans, color=colours, ecolor="black", capsize=2)
    axes.set_title(title, fontsize=9)
    axes.set_xlabel("rewards a second", fontsize=8)
    axes.tick_params(labelsize=7)


def _curve(axes: Any, what: str, points: Mapping[str, Any], power: float) -> None:
    """Milliseconds of a reward over what is varied, both logarithmic."""
    values = [float(value) for value in points]
    times = [1e3 / point["rewards_per_s"]["median"] for point in points.values()]
    axes.loglog(values, times, marker="o", color=_OURS)
    axes.set_xticks(values, [f"{value:g}" for value in values], fontsize=7)
    low, high = min(times), max(times)
    # A logarithmic axis over less than a decade would have no number on it.
    axes.set_yticks([low, (low * high) ** 0.5, high], [f"{low:.3g}", f"{(low * high) ** 0.5:.3g}", f"{high:.3g}"])
    axes.minorticks_off()
    axes.tick_params(axis="y", labelsize=7)
    axes.set_title(f"{what}: power {power:.2f}", fontsize=9)
    axes.set_ylabel("ms a reward", fontsize=8)
