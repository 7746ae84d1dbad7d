r"""Everything that `make bench` measures, one part after the other: one file of results, a table, and plots.

    python -m benchmarks
    python -m benchmarks --only overhead,growth --out build/bench

Each part is a command of its own (its module says what it measures), and can be run with other judges and sizes. The
machine should have nothing else to do.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import draw
from benchmarks.machine import machine
from benchmarks.table import rows
from benchmarks.widened import SIZES, resized, widen

_RESULTS: Final = Path(__file__).parent / "results"
_SIDE: Final = 252
"""Pixels a side that judges see pictures at: 81 tokens."""

PARTS: Final[Mapping[str, Sequence[str]]] = {
    "overhead": ("benchmarks.overhead",),
    "counters": ("benchmarks.counters", "--judge", "{nano}", "--side", str(_SIDE)),
    "probe 3M": ("benchmarks.speed", "--judge", "{nano}", "--side", str(_SIDE), "--groups", "1"),
    "probe 40M": (
        *("benchmarks.speed", "--judge", "{40M}", "--side", str(_SIDE), "--groups", "1"),
        *("--contenders", "edit-rrm,vllm-serve-question-first,offline"),
    ),
    "think 40M": (
        *("benchmarks.speed", "--judge", "{40M-as-nano}", "--mode", "think", "--shapes", "--groups", "1"),
        *("--contenders", "edit-rrm,vllm-serve"),
    ),
    "growth": ("benchmarks.growth", "--repetitions", "2"),
    "trainer step": (
        *("benchmarks.trainer_step", "--judge", "{nano}", "--groups", "4", "--rounds", "3"),
        *("--contenders", "edit-rrm,vllm-serve-question-first"),
    ),
}
"""Modules and their arguments; names in braces are judges' folders."""


def main() -> None:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PARTS), help="Parts, by commas.")
    parser.add_argument("--work", type=Path, default=Path("build/bench"), help="Folder for judges and logs.")
    parser.add_argument("--out", type=Path, default=_RESULTS, help="Folder for what was found.")
    parser.add_argument("--host", default=_slug(machine().split(",")[0]), help="Names the machine in the files' names.")
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    if unknown := sorted(set(names) - set(PARTS)):
        parser.error(f"no part is called {', '.join(unknown)}; there are {', '.join(PARTS)}")
    judges = _judges(arguments.work)
    found: dict[str, Any] = {"machine": machine(), "date": f"{datetime.now(UTC):%Y-%m-%d}"}
    failed: list[str] = []
    for name in names:
        began = time.monotonic()
        print(f"{name}: {' '.join(PARTS[name])}", file=sys.stderr, flush=True)
        part = _run([piece.format(**judges) for piece in PARTS[name]], arguments.work / f"{_slug(name)}.json")
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        if part is None:
            failed.append(name)
        else:
            found[name] = part
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / f"{found['date']}-{arguments.host}.json"
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    for what, value in rows(found):
        print(f"{what:<66} {value}")
    drawn = draw(found, path.with_suffix(".png"))
    print(f"written: {path}" + (f", {path.with_suffix('.png')}" if drawn else ""))
    if failed:
        raise SystemExit(f"without {', '.join(failed)}, which failed; why is above")


def _judges(work: Path) -> dict[str, Path]:
    """Checkpoints to measure with, by name."""
    folders = {name: work / "judges" / name for name in ("nano", "40M", "40M-as-nano")}
    resized(folders["nano"], side=_SIDE)
    widen(SIZES["40M"], folders["40M"], side=_SIDE)
    widen(SIZES["40M"], folders["40M-as-nano"])
    return folders


def _run(arguments: Sequence[str], out: Path) -> Any:
    """Run a part in a process of its own; None where it failed, in its own words."""
    command = [sys.executable, "-W", "ignore", "-m", *arguments, "--out", str(out)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)  # noqa: S603 - our own modules
    return None if done.returncode != 0 else json.loads(out.read_text(encoding="utf-8"))


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


if __name__ == "__main__":
    main()
