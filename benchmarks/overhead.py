r"""What the service costs around a judge that costs nothing, and beside the pattern that the field copies.

    python -m benchmarks.overhead --out benchmarks/results/overhead.json

Two figures over one judge of fixed latency (`null_engine.py`): how much longer a single pair of 512 px takes than
decoding it and judging it, and how many rewards a second groups of 24 get from 16 callers at once, beside Flask with
one synchronous worker, pickles and JPEG (`speed/flask_pickle_server.py`), in turns. The service is sent lossless WebP,
as clients send pixels, three bytes a pixel (`ppm`), and for comparison the very JPEG files that Flask gets.
"""

from __future__ import annotations

import argparse
import io
import os
import pickle
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
from PIL import Image

from benchmarks.machine import machine
from benchmarks.null_engine import PRINCIPLES
from benchmarks.running import free_port, running
from benchmarks.speed.rounds import Spread, compared
from benchmarks.told import told
from edit_rrm.verdicts import Mode
from edit_rrm_client import Group, RewardClient
from edit_rrm_client.bench.workload import Workload, prepared

_QUALITY = 75
"""JPEG's, as PIL has it where nobody says."""


def single(seconds: float, *, pairs: int, side: int, rounds: int) -> dict[str, Spread]:
    """Milliseconds of one pair at a time: the request, and decoding its two images alone, one after the other.

    Args:
        seconds: That the judge takes.
        pairs: Requests of a round; then as many are decoded, without one disturbing the other's caches.
        side: Of the square images, pixels.
        rounds: How many, after one that is not counted.

    Returns:
        Of each round's medians.
    """
    groups = prepared(Workload(1, side, principles=len(PRINCIPLES)), pairs * (rounds + 1))
    asked, decoded = [], []
    with _null_service(seconds) as url, RewardClient(url) as client:
        for number in range(rounds + 1):
            some = groups[number * pairs : (number + 1) * pairs]
            asked.append(statistics.median(_timed(partial(_reward, client, group)) for group in some))
            decoded.append(statistics.median(_timed(partial(_decode, group)) for group in some))
    beyond = [one - other - 1e3 * seconds for one, other in zip(asked, decoded, strict=True)]
    return {
        "request_ms": Spread.of(asked[1:]),
        "decoding_ms": Spread.of(decoded[1:]),
        "beyond_decoding_and_judging_ms": Spread.of(beyond[1:]),
    }


def callers(seconds: float, *, at_once: int, size: int, side: int, rounds: int) -> dict[str, Any]:
    """Rewards a second of groups from many callers at once, and beside Flask."""
    work = Workload(size, side, principles=len(PRINCIPLES))
    webp = prepared(work, at_once * (rounds + 1))
    sent = {
        "edit-rrm": webp,
        "edit-rrm-ppm": prepared(replace(work, image_format="ppm"), len(webp)),
        "edit-rrm-jpeg": [_as_jpeg(group) for group in webp],
    }
    pickles = [_pickled(group) for group in sent["edit-rrm-jpeg"]]
    found = []
    with _null_service(seconds) as url, _flask(seconds) as pattern, RewardClient(url, max_in_flight=at_once) as client:
        for number in range(rounds + 1):
            some = slice(number * at_once, (number + 1) * at_once)
            took = {name: _timed(partial(_judged, client, groups[some], at_once)) for name, groups in sent.items()}
            took["flask-pickle"] = _timed(partial(_posted, pattern, pickles[some], at_once))
            if number > 0:
                found.append({name: 1e3 * at_once * size / ms for name, ms in took.items()})
    return {
        "rates": asdict(compared(found))["rates"],
        "ratios_to_flask_pickle": {
            name: asdict(Spread.of([one[name] / one["flask-pickle"] for one in found])) for name in sent
        },
        "rounds": found,
    }


def _reward(client: RewardClient, group: Group) -> None:
    client.reward(group.instruction, group.source, group.edited[0], principles=group.principles, mode=Mode.THINK)


def _decode(group: Group) -> None:
    for data in (group.source, *group.edited):
        _decoded(data)


def _judged(client: RewardClient, groups: Sequence[Group], at_once: int) -> None:
    results = client.score_groups(groups, in_flight=at_once)
    if not all(result.mask.all() for result in results):
        raise RuntimeError("the service scored less than all of them")


def _posted(url: str, bodies: Sequence[bytes], at_once: int) -> None:
    with httpx2.Client(timeout=120.0) as http, ThreadPoolExecutor(at_once) as pool:
        for reply in pool.map(lambda body: http.post(url, content=body), bodies):
            reply.raise_for_status()


def _as_jpeg(group: Group) -> Group:
    files = []
    for data in (group.source, *group.edited):
        buffer = io.BytesIO()
        _decoded(data).save(buffer, "JPEG", quality=_QUALITY)
        files.append(buffer.getvalue())
    return replace(group, source=files[0], edited=files[1:])


def _pickled(group: Group) -> bytes:
    return pickle.dumps({"source": group.source, "images": list(group.edited), "prompt": group.instruction})


def _decoded(data: object) -> Image.Image:
    assert isinstance(data, bytes)
    return Image.open(io.BytesIO(data)).convert("RGB")


def _timed(work: Callable[[], object]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - began)


@contextmanager
def _null_service(seconds: float) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.null_engine", "--port", str(port), "--seconds", str(seconds)]
    with running(command, port, "/readyz", log=_log("null-engine"), env=os.environ) as url:
        yield url


@contextmanager
def _flask(seconds: float) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "benchmarks.speed.flask_pickle_server:app"]
    command += ["--workers", "1", "--bind", f"127.0.0.1:{port}", "--timeout", "120", "--log-level", "warning"]
    env = {**os.environ, "NULL_SECONDS": str(seconds)}
    with running(command, port, "/", log=_log("flask"), env=env) as url:
        yield url


def _log(name: str) -> Path:
    folder = Path("build/overhead-logs")
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.log"


def main() -> None:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.5, help="That the judge takes for a group, or a pair.")
    parser.add_argument("--pairs", type=int, default=30, help="Of a round, one at a time.")
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--at-once", type=int, default=16, help="Callers, each with a group.")
    parser.add_argument("--size", type=int, default=24, help="Edits of a group.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    one = single(0.0, pairs=arguments.pairs, side=arguments.side, rounds=arguments.rounds)
    many = callers(
        arguments.seconds,
        at_once=arguments.at_once,
        size=arguments.size,
        side=arguments.side,
        rounds=arguments.rounds,
    )
    found = {
        "command": f"python -m benchmarks.overhead {' '.join(sys.argv[1:])}".strip(),
        "machine": machine(),
        "single": {name: asdict(spread) for name, spread in one.items()},
        "callers": {"judge_s": arguments.seconds, "callers": arguments.at_once, "edits": arguments.size, **many},
    }
    told(found, arguments.out)


if __name__ == "__main__":
    main()
