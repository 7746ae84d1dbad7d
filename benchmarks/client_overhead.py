"""What the client costs a trainer: CPU time an edit beyond encoding its image.

    python -m benchmarks.client_overhead --out benchmarks/results/client_overhead.json

Groups of 512 x 512 edits go to a service in another process that answers at once (`instant_service.py`), from memory
as PIL images (encoding included) and as files (none), interleaved with encoding alone. CPU time is the client
process's own, all of its threads together; medians over runs. "Beyond encoding" is files' figure, and the difference
of the other two beside it as a check.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

from benchmarks.machine import machine
from edit_rrm_client import Group, RewardClient
from edit_rrm_client.bench.workload import picture
from edit_rrm_client.images import encode_image


@dataclass(frozen=True)
class Spread:
    """Milliseconds an edit over all runs."""

    median: float
    least: float
    most: float


@dataclass(frozen=True)
class Report:
    """What was measured, and on what."""

    side: int
    groups: int
    edits: int
    runs: int
    kilobytes: float
    encoding: Spread
    """CPU time of encoding one image."""
    from_images: Spread
    """CPU time of judging one edit from a PIL image."""
    from_files: Spread
    """CPU time of judging one edit from an encoded file: what the client costs beyond encoding."""
    difference: float
    """Median of `from_images` less that of `encoding`: the same by another way."""
    wall_from_files: Spread
    """Time that passes for one edit, files, all groups in flight."""
    machine: str


def pictures(count: int, side: int, seed: int = 0) -> list[Image.Image]:
    """Images of side x side with the grain of photographs."""
    return [Image.fromarray(picture(side, seed, number)) for number in range(count)]


@contextmanager
def instant_service() -> Iterator[str]:
    """URL of the service that answers at once, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.instant_service"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own interpreter
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def measure(*, side: int, groups: int, edits: int, runs: int) -> Report:
    """Measure.

    Args:
        side: Of the square images, pixels.
        groups: In every run, all in flight at a time as far as the client has them.
        edits: In a group.
        runs: Of each way, one after the other in turn, after one that is not counted.
    """
    source, *edited = pictures(edits + 1, side)
    files = [encode_image(image) for image in (source, *edited)]
    total = groups * edits

    with instant_service() as url, RewardClient(url) as client:

        def from_images() -> None:
            _judge(client, [Group(f"make it bluer {number}", source, edited) for number in range(groups)])

        def from_files() -> None:
            _judge(client, [Group(f"make it bluer {number}", files[0], files[1:]) for number in range(groups)])

        def encoding() -> None:
            for _ in range(groups):
                for image in (source, *edited):
                    encode_image(image)

        client.wait_until_ready(30.0)
        cpu: dict[Callable[[], None], list[float]] = {encoding: [], from_images: [], from_files: []}
        wall: list[float] = []
        for run in range(runs + 1):
            for way, times in cpu.items():
                began, wall_began = time.process_time(), time.perf_counter()
                way()
                spent, passed = time.process_time() - began, time.perf_counter() - wall_began
                if run:
                    times.append(spent / total * 1e3)
                    if way is from_files:
                        wall.append(passed / total * 1e3)
    spreads = {way: _spread(times) for way, times in cpu.items()}
    return Report(
        side=side,
        groups=groups,
        edits=edits,
        runs=runs,
        kilobytes=round(statistics.mean(map(len, files)) / 1e3, 1),
        encoding=spreads[encoding],
        from_images=spreads[from_images],
        from_files=spreads[from_files],
        difference=round(spreads[from_images].median - spreads[encoding].median, 3),
        wall_from_files=_spread(wall),
        machine=machine(),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table, and write it down where asked."""
    parser = argparse.ArgumentParser(description="CPU time of the client for each edit, beyond encoding its image.")
    parser.add_argument("--side", type=int, default=512, help="side of the images in pixels (default: 512)")
    parser.add_argument("--groups", type=int, default=8, help="groups of edits in every run (default: 8)")
    parser.add_argument("--edits", type=int, default=24, help="edits in a group (default: 24)")
    parser.add_argument("--runs", type=int, default=9, help="runs of each way, interleaved (default: 9)")
    parser.add_argument("--out", type=Path, help="write the figures there, as JSON")
    options = parser.parse_args(arguments)
    report = measure(side=options.side, groups=options.groups, edits=options.edits, runs=options.runs)
    print(
        f"{report.runs} runs of {report.groups} groups x {report.edits} edits of {report.side} x {report.side}, ",
        end="",
    )
    print(f"WebP of {report.kilobytes:g} kB; {report.machine}")
    rows = {
        "encode an image": report.encoding,
        "judge an edit from a PIL image": report.from_images,
        "judge an edit from a file": report.from_files,
        "time passing for an edit from a file": report.wall_from_files,
    }
    for name, spread in rows.items():
        print(f"{name:<40}{spread.median:8.2f} ms  ({spread.least:.2f} to {spread.most:.2f})")
    print(f"{'from a PIL image, less encoding':<40}{report.difference:8.2f} ms")
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(asdict(report), indent=2) + "\n", encoding="utf-8")


def _judge(client: RewardClient, groups: list[Group]) -> None:
    for result in client.score_groups(groups):
        if not result.mask.all():
            raise RuntimeError("the service did not answer; nothing was measured")


def _spread(times: Sequence[float]) -> Spread:
    return Spread(round(statistics.median(times), 3), round(min(times), 3), round(max(times), 3))


if __name__ == "__main__":
    main()
