"""What GCPO gained, as the documents print it: `python -m tests.docs.pair_figures` writes the table.

The figures are whole reports of `edit-rrm eval pairs --json` in `docs/results/pairs`, one file per judge and split.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[2] / "docs" / "results" / "pairs"
SPLITS = ("held-out", "held-out-combinations")
JUDGES = {"nano-sft": "SFT", "nano-gcpo-0": "GCPO, seed 0", "nano-gcpo-1": "GCPO, seed 1"}
PAIRS = 3_000


def report(judge: str, split: str) -> dict[str, Any]:
    """The report of a judge on a split."""
    found: dict[str, Any] = json.loads((RESULTS / f"{judge}.{split}.json").read_text(encoding="utf-8"))
    return found


def accuracy(judge: str, split: str) -> dict[str, float]:
    """Share of the pairs ranked rightly, equal scores counting as wrong, with its 95% interval."""
    found: dict[str, float] = report(judge, split)["pairs"]["accuracy"]
    return found


def table() -> str:
    """The figures as a Markdown table."""
    head = ["judge", *(f"`{split}`: ranked rightly | equal scores" for split in SPLITS)]
    rows = [f"| {' | '.join(head)} |", "|---" * (1 + 2 * len(SPLITS)) + "|"]
    for judge, name in JUDGES.items():
        cells = [name]
        for split in SPLITS:
            share, pairs = accuracy(judge, split), report(judge, split)["pairs"]
            cells.append(f"{share['value']:.1%} ({share['low']:.1%} to {share['high']:.1%})")
            cells.append(f"{pairs['tied'] / pairs['pairs']:.1%}")
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
