"""What GCPO gained, as the documents print it: `python -m tests.docs.pair_figures` writes the tables.

The figures are whole reports of `edit-rrm eval pairs --json` in `docs/results/pairs`, one file per judge and split.
Those in `misplaced-images` are of runs whose loss took image tokens of padded prompts for text (mended since), and
their starts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[2] / "docs" / "results" / "pairs"
MISPLACED = RESULTS / "misplaced-images"
SPLITS = ("held-out", "held-out-combinations")
JUDGES = {"nano-sft": "SFT", "nano-gcpo-0": "GCPO, seed 0", "nano-gcpo-1": "GCPO, seed 1"}
MISPLACED_JUDGES = {"nano-sft": "SFT", "nano-gcpo-0": "GCPO, seed 0", "nano-gcpo-1": "GCPO, seed 1"}
SIZES = {"pico": "1.6M", "nano": "3.4M", "micro": "6.1M"}
STAGES = {"sft": "after SFT", "gcpo-0": "after GCPO"}
VERIFIER = {"without verifier": ("nano-sft-unverified", "nano-gcpo-unverified"), "with": ("nano-sft", "nano-gcpo-0")}
MODES = {"`think`": "held-out", "`think`, Avg@4": "held-out.avg4", "`probe`": "held-out.probe"}
"""Ways to verify, and the reports they are in."""
ABLATION = {
    ("SFT", "off"): "nano-sft-unverified",
    ("SFT", "on"): "nano-sft",
    ("GCPO", "off"): "nano-gcpo-unverified",
    ("GCPO", "on"): "nano-gcpo-0",
}
PAPER = {"the paper's Qwen2.5-VL-3B": (64.1, 69.3, 72.0), "the paper's Qwen2.5-VL-7B": (68.9, 75.4, 82.2)}
"""Its table 1, accuracy in percent on its own human pairs: T, T+V, and GCPO."""
PAIRS = 3_000


def report(judge: str, split: str, folder: Path = RESULTS) -> dict[str, Any]:
    """The report of a judge on a split."""
    found: dict[str, Any] = json.loads((folder / f"{judge}.{split}.json").read_text(encoding="utf-8"))
    return found


def accuracy(judge: str, split: str, folder: Path = RESULTS) -> dict[str, float]:
    """Share of the pairs ranked rightly, equal scores counting as wrong, with its 95% interval."""
    found: dict[str, float] = report(judge, split, folder)["pairs"]["accuracy"]
    return found


def table(judges: Mapping[str, str] = JUDGES, folder: Path = RESULTS) -> str:
    """The figures of some judges as a Markdown table."""
    rows = [["judge", *(f"`{split}`: ranked rightly | equal scores" for split in SPLITS)]]
    for judge, name in judges.items():
        cells = [name]
        for split in SPLITS:
            pairs = report(judge, split, folder)["pairs"]
            cells.append(_share(judge, split, folder))
            cells.append(f"{pairs['tied'] / pairs['pairs']:.1%}")
        rows.append(cells)
    return _markdown(rows, columns=1 + 2 * len(SPLITS))


def sizes_table() -> str:
    """One row per size, on `held-out`: the same cold start and the same GCPO (seed 0) of smaller and larger judges."""
    rows = [["judge", *STAGES.values()]]
    for size, parameters in SIZES.items():
        rows.append([f"{size} ({parameters})", *(_share(f"{size}-{stage}", "held-out", MISPLACED) for stage in STAGES)])
    return _markdown(rows, columns=1 + len(STAGES))


def verifier_table() -> str:
    """With and without the verifier, on `held-out`: the same rows, start, steps and preferences."""
    rows = [["cold start", *STAGES.values()]]
    rows += [[name, *(_share(judge, "held-out", RESULTS) for judge in judges)] for name, judges in VERIFIER.items()]
    return _markdown(rows, columns=1 + len(STAGES))


def ablation_table() -> str:
    """Ways to verify, the verifier and the stages, on `held-out`."""
    rows = [["stage", "verifier", *MODES]]
    rows += [[*cell, *(_share(judge, split, RESULTS) for split in MODES.values())] for cell, judge in ABLATION.items()]
    return _markdown(rows, columns=2 + len(MODES))


def paper_table() -> str:
    """The method's stages here and in the paper: two worlds, of which only the steps compare."""
    judges = ("nano-sft-unverified", "nano-sft", "nano-gcpo-0")
    ours = [f"{accuracy(judge, 'held-out')['value']:.1%}" for judge in judges]
    rows = [["judge", "SFT (T)", "SFT with the verifier (T+V)", "GCPO"], ["nano, 3.4M, shapes", *ours]]
    rows += [[judge, *(f"{share}%" for share in shares)] for judge, shares in PAPER.items()]
    return _markdown(rows, columns=1 + len(judges))


def _share(judge: str, split: str, folder: Path) -> str:
    share = accuracy(judge, split, folder)
    return f"{share['value']:.1%} ({share['low']:.1%} to {share['high']:.1%})"


def _markdown(rows: list[list[str]], columns: int) -> str:
    head, *body = (f"| {' | '.join(cells)} |" for cells in rows)
    return "\n".join([head, "|---" * columns + "|", *body])


if __name__ == "__main__":
    others = (sizes_table(), verifier_table(), ablation_table(), paper_table())
    print(table(), table(MISPLACED_JUDGES, MISPLACED), *others, sep="\n\n")
