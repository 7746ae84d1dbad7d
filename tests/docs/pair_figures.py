"""What GCPO gained, as the documents print it: `python -m tests.docs.pair_figures` writes the tables.

The figures are whole reports of `edit-rrm eval pairs --json` in `docs/results/pairs`, one file per judge and split.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[2] / "docs" / "results" / "pairs"
SPLITS = ("held-out", "held-out-combinations")
JUDGES = {"nano-sft": "SFT", "nano-gcpo-0": "GCPO, seed 0", "nano-gcpo-1": "GCPO, seed 1"}
SIZES = {"pico": "1.6M", "nano": "3.4M", "micro": "6.1M"}
STAGES = {"sft": "after SFT", "gcpo-0": "after GCPO"}
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
            pairs = report(judge, split)["pairs"]
            cells.append(_share(judge, split))
            cells.append(f"{pairs['tied'] / pairs['pairs']:.1%}")
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def sizes_table() -> str:
    """One row per size, on `held-out`: the same cold start and the same GCPO (seed 0) of smaller and larger judges."""
    head = ["judge", *STAGES.values()]
    rows = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for size, parameters in SIZES.items():
        cells = [f"{size} ({parameters})", *(_share(f"{size}-{stage}", "held-out") for stage in STAGES)]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _share(judge: str, split: str) -> str:
    share = accuracy(judge, split)
    return f"{share['value']:.1%} ({share['low']:.1%} to {share['high']:.1%})"


if __name__ == "__main__":
    print(table(), sizes_table(), sep="\n\n")
