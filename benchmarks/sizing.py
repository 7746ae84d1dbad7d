r"""Whether the sizing formula of docs/capacity.md tells what a judge will do: fitted on some loads, tried on others.

    python -m benchmarks.sizing --out build/sizing.json

For judges of three sizes: rewards a second are measured for groups of several shapes, the engine's two rates are fitted
on half of the shapes, and the other half is predicted.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.machine import machine
from benchmarks.told import told
from benchmarks.widened import SIZES, resized, widen
from edit_rrm.verdicts import Mode, Usage
from edit_rrm_client import RewardClient
from edit_rrm_client.bench.sizing import Shape, fitted, rewards_per_s
from edit_rrm_client.bench.workload import Workload, prepared
from edit_rrm_client.local import local_service

_SIDE: Final = 252
_IMAGE_TOKENS: Final = (_SIDE // 28) ** 2
_BLOCK: Final = 32
_TIMEOUT_S: Final = 600.0

FITTED: Final = ((2, 1), (12, 1), (12, 9))
"""Edits of a group and principles, from which the rates are found."""
PREDICTED: Final = ((6, 5), (12, 5), (24, 3))


def measure(judge: Path, repetitions: int) -> dict[str, Any]:
    """Fit a judge's rates, and predict what it does.

    Raises:
        RuntimeError: Not everything was scored.
    """
    rates: dict[tuple[int, int], list[float]] = {}
    usages: dict[tuple[int, int], Usage] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        local_service(["--model", str(judge), "--engine", "vllm"], log=Path(folder) / "log") as url,
        RewardClient(url, timeout=_TIMEOUT_S) as client,
    ):
        for turn in range(repetitions + 1):
            for place, load in enumerate((*FITTED, *PREDICTED)):
                rate, usage = _rate(client, load, seed=100 * turn + place)
                if turn > 0:
                    rates.setdefault(load, []).append(rate)
                    usages[load] = usage
    measured = {load: statistics.median(some) for load, some in rates.items()}
    shapes = {load: _shape(load, usages[load]) for load in measured}
    found = fitted({shapes[load]: measured[load] for load in FITTED})
    return {
        "prompt_tokens_per_s": found.prompt_tokens,
        "images_per_s": found.images,
        "fitted": _beside(FITTED, measured, {load: rewards_per_s(shapes[load], found) for load in FITTED}),
        "predicted": _beside(PREDICTED, measured, {load: rewards_per_s(shapes[load], found) for load in PREDICTED}),
        "tokens": {
            f"{size} edits, {count} principles": {
                "formula": shapes[size, count].computed_tokens,
                "counted": _computed(usages[size, count]) / size / _groups(size),
            }
            for size, count in measured
        },
    }


def _rate(client: RewardClient, load: tuple[int, int], seed: int) -> tuple[float, Usage]:
    size, count = load
    groups = prepared(Workload(size, _SIDE, principles=count, seed=seed), _groups(size))
    began = time.monotonic()
    results = client.score_groups(groups, mode=Mode.PROBE)
    seconds = time.monotonic() - began
    scored = sum(int(result.mask.sum()) for result in results)
    if scored != size * len(groups):
        raise RuntimeError(f"{scored} of {size * len(groups)} edits were scored")
    return scored / seconds, sum((result.usage for result in results), Usage())


def _groups(size: int) -> int:
    """So many that a load is a dozen edits at least."""
    return max(1, 12 // size)


def _shape(load: tuple[int, int], usage: Usage) -> Shape:
    """A load's shape, by what the service says of its prompts."""
    size, count = load
    prompt = usage.prompt_tokens / usage.engine_calls
    question = 20.0
    return Shape(size, count, _IMAGE_TOKENS, prompt - 2 * _IMAGE_TOKENS - question, question, block=_BLOCK)


def _computed(usage: Usage) -> int:
    return usage.prompt_tokens - usage.cached_tokens


def _beside(
    loads: tuple[tuple[int, int], ...],
    measured: Mapping[tuple[int, int], float],
    told_by_formula: Mapping[tuple[int, int], float],
) -> dict[str, Any]:
    return {
        f"{size} edits, {count} principles": {
            "measured": measured[size, count],
            "formula": told_by_formula[size, count],
            "off": told_by_formula[size, count] / measured[size, count] - 1.0,
        }
        for size, count in loads
    }


def main() -> None:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--judges", default="nano,40M,150M", help="Sizes, by commas.")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    for name in arguments.judges.split(","):
        print(name, file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            judge = Path(folder) / name
            if name == "nano":
                resized(judge, side=_SIDE)
            else:
                widen(SIZES[name], judge, side=_SIDE)
            found[name] = measure(judge, arguments.repetitions)
    command = f"python -m benchmarks.sizing {' '.join(sys.argv[1:])}".strip()
    told({"command": command, "machine": machine(), "judges": found}, arguments.out)


if __name__ == "__main__":
    main()
