"""A report as a table, for people: the same lines in Markdown and on a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

HEADINGS = ("what", "accuracy", "95% interval", "right", "wrong", "tied", "unscored")


class Line(NamedTuple):
    """One line of the table, every cell as text."""

    what: str
    accuracy: str
    interval: str
    right: str
    wrong: str
    tied: str
    unscored: str


def lines(report: Mapping[str, Any]) -> Iterator[Line]:
    """The lines of a report, the most important ones first."""
    for name, found in report.get("rankings", {}).items():
        what = "rankings, all" if name == "all" else f"rankings, {name}-way"
        yield _line(what, found["accuracy"], found)
    dimensions = report.get("by_dimension", {})
    for name, found in dimensions.items():
        if "mean_over_categories" in found:
            mean = found["mean_over_categories"]
            yield _line(f"{name}, mean over {mean['categories']} categories", mean, found)
    yield _line("pairs, all", report["pairs"]["accuracy"], report["pairs"])
    for name, found in dimensions.items():
        yield from _categories(f"{name}: ", found)
    if not dimensions:
        yield from _categories("", report["pairs"])
    if "human_ties" in report:
        ties = report["human_ties"]
        yield _line("pairs and people's ties", ties["accuracy_with_ties"], {})


def title(report: Mapping[str, Any]) -> str:
    """What was measured, on one line."""
    asked = f"{report['mode']}, Avg@{report['samples']}" if report["samples"] > 1 else report["mode"]
    return f"{report['data']}: {report['judge']} ({asked}, ties {_COUNTED[report['ties']]})"


def notes(report: Mapping[str, Any]) -> Iterator[str]:
    """What the table alone does not say."""
    rows = report["rows"]
    dropped = ", ".join(f"{count} {reason}" for reason, count in rows["dropped"].items())
    yield f"{rows['used']} of {rows['read']} rows used{f'; dropped: {dropped}' if dropped else ''}"
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in report["outcomes"].items())
    yield f"{report['edits']} edits in {report['groups']} groups: {outcomes or 'none'}"
    pairs = report["pairs"]
    if pairs["unscored"]:
        strict = pairs["accuracy_unscored_wrong"]["value"]
        yield f"{pairs['unscored']} pairs not scored; if they count as wrong, accuracy on all pairs is {strict:.2%}"
    incomplete = report.get("rankings", {}).get("all", {}).get("incomplete", 0)
    if incomplete:
        yield f"{incomplete} rankings not counted, because a row of theirs was dropped"
    if "rankings_calibrated" in report:
        found = report["rankings_calibrated"]
        shares = ", ".join(
            f"{'all' if name == 'all' else f'{name}-way'} {part['accuracy']['value']:.2%}"
            for name, part in found.items()
            if name != "threshold" and part["accuracy"]["value"] is not None
        )
        yield f"rankings with 2-way ties up to {found['threshold']:g} points, fitted to these very pairs: {shares}"
    if "human_ties" in report:
        ties = report["human_ties"]
        yield f"{ties['pairs']} pairs are ties to people, and in no line above the last"
        best = ties["calibrated"]
        if best["accuracy"] is not None:
            yield (
                f"with the threshold that is best on these very pairs ({best['threshold']:g} points), ties included: "
                f"{best['accuracy']:.2%} (flatters; for comparison with tables that do the same)"
            )
    yield "intervals are 95%, clustered by source image; accuracy is over pairs whose edits were both scored"


def markdown(report: Mapping[str, Any]) -> str:
    """A report as a page of Markdown."""
    table = [_row(HEADINGS), _row(["---"] * len(HEADINGS)), *(_row(line) for line in lines(report))]
    facts = [f"- judge identity: `{report['identity']}`", *(f"- {note}" for note in notes(report))]
    return "\n".join([f"# {title(report)}", "", *table, "", *facts, ""])


_COUNTED = {"wrong": "wrong", "half": "half right", "drop": "dropped"}


def _categories(prefix: str, found: Mapping[str, Any]) -> Iterator[Line]:
    for name, part in found.get("by_category", {}).items():
        yield _line(f"{prefix}{name}", part["accuracy"], part)


def _line(what: str, share: Mapping[str, Any], counts: Mapping[str, Any]) -> Line:
    known = share["value"] is not None
    return Line(
        what,
        f"{share['value']:.2%}" if known else "none counted",
        f"{share['low']:.2%} to {share['high']:.2%}" if known else "",
        *(str(counts.get(name, "")) for name in ("right", "wrong", "tied", "unscored")),
    )


def _row(cells: Any) -> str:
    return f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |"
