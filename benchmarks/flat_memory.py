r"""Whether the service's memory stays as it is over thousands of groups.

    python -m benchmarks.flat_memory --groups 10000 --out build/memory.json

A judge that costs nothing (`null_engine.py`), so that the service's own memory is what grows if anything does: its
caches, its answers kept for repeats, its metrics. No two groups are alike, and callers come and go. The caches hold
little, to be full early.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil

from benchmarks.machine import machine
from benchmarks.null_engine import PRINCIPLES
from benchmarks.running import free_port, running
from benchmarks.told import told
from edit_rrm_client import Group, RewardClient
from edit_rrm_client.bench.workload import Workload, group

_LOOKS: Final = 20
_CACHE_BYTES: Final = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Look:
    """At the service's process."""

    groups: int
    """Judged so far."""
    mib: float
    """Of memory that is its own (USS)."""
    handles: int


def watched(groups: int, size: int, side: int) -> list[Look]:
    """Have groups judged, by a new client every so many, and look at the service meanwhile.

    Args:
        groups: How many.
        size: Edits of each.
        side: Pixels a side.

    Raises:
        RuntimeError: Not everything was scored.
    """
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.null_engine", "--port", str(port)]
    command += ["--cache-bytes", str(_CACHE_BYTES)]
    log = Path("build/overhead-logs/flat-memory.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    looks = []
    with running(command, port, "/readyz", log=log, env=os.environ) as url:
        process = _child(command)
        for number in range(_LOOKS + 1):
            looks.append(Look(number * groups // _LOOKS, process.memory_full_info().uss / 2**20, process.num_fds()))
            if number < _LOOKS:
                _judge(url, range(number * groups // _LOOKS, (number + 1) * groups // _LOOKS), size, side)
            print(looks[-1], file=sys.stderr, flush=True)
    return looks


def growth_mib(looks: list[Look]) -> float:
    """MiB a thousand groups, by least squares over the second half of the looks."""
    late = looks[len(looks) // 2 :]
    slope: float = np.polyfit([look.groups / 1e3 for look in late], [look.mib for look in late], 1)[0]
    return float(slope)


def _judge(url: str, numbers: range, size: int, side: int) -> None:
    workload = Workload(size, side, principles=len(PRINCIPLES), image_format="ppm")
    made: Iterator[Group] = (group(workload, number) for number in numbers)
    with RewardClient(url) as client:
        results = client.score_groups(made, in_flight=4)
    if not all(result.mask.all() for result in results):
        raise RuntimeError("not everything was scored")


def _child(command: list[str]) -> psutil.Process:
    [found] = [one for one in psutil.Process().children() if one.cmdline()[-len(command) + 1 :] == command[1:]]
    return found


def main() -> None:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=24, help="Edits of a group.")
    parser.add_argument("--side", type=int, default=56, help="Of the pictures, pixels.")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    looks = watched(arguments.groups, arguments.size, arguments.side)
    found: dict[str, Any] = {
        "command": f"python -m benchmarks.flat_memory {' '.join(sys.argv[1:])}".strip(),
        "machine": machine(),
        "mib_per_thousand_groups": growth_mib(looks),
        "looks": [[look.groups, round(look.mib, 1), look.handles] for look in looks],
    }
    told(found, arguments.out)


if __name__ == "__main__":
    main()
