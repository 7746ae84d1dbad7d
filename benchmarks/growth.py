r"""How the cost of a reward grows: with the group, principles, pictures, groups at a time; and what it is made of.

    python -m benchmarks.growth --out build/growth.json

The service alone, one thing varied at a time, with a judge that sees pictures as large as they are. Repetitions go
through all points in turn, so that a slow minute is in all of them; every group is new to the service.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil

from benchmarks.machine import machine
from benchmarks.speed.rounds import Spread
from benchmarks.told import told
from benchmarks.widened import resized
from edit_rrm.verdicts import Mode, Usage
from edit_rrm_client import RewardClient
from edit_rrm_client.bench.workload import Workload, prepared
from edit_rrm_client.local import local_service

_TIMEOUT_S = 600.0
_LARGEST: Final = 896
"""Pixels a side that the judge sees."""
_USUAL: Final = Workload(group_size=12, side=112, principles=5)


@dataclass(frozen=True, slots=True)
class Point:
    """A load: groups of one shape, so many at a time."""

    workload: Workload
    in_flight: int = 4
    groups: int = 4


POINTS: Final[Mapping[str, Mapping[int, Point]]] = {
    "edits of a group": {
        size: Point(replace(_USUAL, group_size=size), groups=max(1, 48 // size)) for size in (1, 6, 12, 24, 48)
    },
    "principles": {count: Point(replace(_USUAL, principles=count)) for count in (1, 3, 5, 9)},
    "pixels a side": {
        side: Point(replace(_USUAL, side=side), groups=groups)
        for side, groups in ((112, 4), (224, 4), (448, 2), (896, 1))
    },
    "groups at a time": {number: Point(_USUAL, in_flight=number, groups=8) for number in (1, 2, 4, 8)},
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One load's cost."""

    rewards_per_s: float
    service_cpu_ms: float
    """Of the service's process, a reward."""
    engine_cpu_ms: float
    """Of its engine's, a reward."""
    computed_tokens: float
    """Prompt tokens that no cache had, a reward."""
    cached_tokens: float
    sent_kilobytes: float
    """Of image files, a reward."""


def measure(judge: Path, mode: Mode, repetitions: int) -> dict[str, Any]:
    """Serve a judge, and put it under every load in turn, after one turn that is not counted.

    Raises:
        RuntimeError: Not everything was scored.
    """
    samples: dict[tuple[str, int], list[Sample]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        local_service(["--model", str(judge), "--engine", "vllm"], log=Path(folder) / "log") as url,
        RewardClient(url, timeout=_TIMEOUT_S, max_in_flight=64) as client,
    ):
        service, engine = _processes()
        for turn in range(repetitions + 1):
            for what, value, point in points(turn):
                print(f"turn {turn} of {repetitions}: {value} {what}", file=sys.stderr, flush=True)
                sample = _sample(client, point, mode, service, engine)
                if turn > 0:
                    samples.setdefault((what, value), []).append(sample)
        peak = {"service": _peak_mib(service), "engine": _peak_mib(engine)}
    found: dict[str, Any] = {what: {} for what in POINTS}
    for (what, value), some in samples.items():
        found[what][value] = {
            name: asdict(Spread.of([getattr(one, name) for one in some])) for name in Sample.__dataclass_fields__
        }
    return {"growth": found, "exponents": {what: exponent(found[what]) for what in POINTS}, "peak_mib": peak}


def exponent(samples: Mapping[int, Mapping[str, Any]]) -> float:
    """The power of what is varied that the time of one reward grows with, by least squares in logarithms.

    0 is a cost that stays the same, 1 one that doubles when what is varied does; below 0 it falls.
    """
    values = np.log(np.array(list(samples), float))
    seconds = -np.log([point["rewards_per_s"]["median"] for point in samples.values()])
    slope: float = np.polyfit(values, seconds, 1)[0]
    return float(slope)


def points(turn: int) -> Iterator[tuple[str, int, Point]]:
    """Every load of a turn, each of its own seed: the same groups again would be answered from the service's cache."""
    named = [(what, value, point) for what, several in POINTS.items() for value, point in several.items()]
    for place, (what, value, point) in enumerate(named):
        yield what, value, replace(point, workload=replace(point.workload, seed=turn * len(named) + place))


def _sample(client: RewardClient, point: Point, mode: Mode, service: psutil.Process, engine: psutil.Process) -> Sample:
    groups = prepared(point.workload, point.groups)
    before = _cpu_s(service), _cpu_s(engine)
    began = time.monotonic()
    results = client.score_groups(groups, mode=mode, in_flight=point.in_flight)
    seconds = time.monotonic() - began
    after = _cpu_s(service), _cpu_s(engine)
    rewards = sum(int(result.mask.sum()) for result in results)
    if rewards != point.groups * point.workload.group_size:
        raise RuntimeError(f"{rewards} edits were scored of {point.groups * point.workload.group_size}")
    usage = sum((result.usage for result in results), Usage())
    return Sample(
        rewards_per_s=rewards / seconds,
        service_cpu_ms=1e3 * (after[0] - before[0]) / rewards,
        engine_cpu_ms=1e3 * (after[1] - before[1]) / rewards,
        computed_tokens=(usage.prompt_tokens - usage.cached_tokens) / rewards,
        cached_tokens=usage.cached_tokens / rewards,
        sent_kilobytes=sum(map(_bytes, groups)) / rewards / 1e3,
    )


def _bytes(group: Any) -> int:
    return sum(len(data) for data in (group.source, *group.edited))


def _processes() -> tuple[psutil.Process, psutil.Process]:
    """The service that this process started, and the busiest that it started: vLLM's engine."""
    [service] = [one for one in psutil.Process().children() if "edit_rrm_service" in " ".join(one.cmdline())]
    return service, max(service.children(recursive=True), key=_cpu_s)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _peak_mib(process: psutil.Process) -> float:
    """The most memory that a process has had, where the system says."""
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return float(process.memory_info().rss) / 2**20
    [peak] = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return int(peak) / 2**10


def main() -> None:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judge", type=Path, help="Checkpoint folder. [the shipped judge's weights, for any size]")
    parser.add_argument("--mode", choices=[mode.value for mode in Mode], default="probe")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        judge = arguments.judge
        if judge is None:
            judge = Path(folder) / "nano-any-size"
            resized(judge, side=_LARGEST)
        found = measure(judge, Mode(arguments.mode), arguments.repetitions)
    told({"machine": machine(), "judge": judge.name, "mode": arguments.mode, **found}, arguments.out)


if __name__ == "__main__":
    main()
