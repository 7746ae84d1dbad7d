"""Load as trainers make it, and what came of it. Every reply is held to the failure contract as it comes."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import httpx2
from PIL import Image

from edit_rrm_training.shapes import make
from tests.service.test_metrics import value


@dataclass
class Reply:
    """One request's end."""

    status: int | None
    """None where the connection broke."""
    outcomes: list[str] = field(default_factory=list)
    retry_after: str | None = None
    seconds: float = 0.0
    scores: tuple[float | None, ...] = ()

    @property
    def scored(self) -> int:
        """Edits that were measured."""
        return self.outcomes.count("scored")


@dataclass(frozen=True)
class Group:
    """A request: an instruction, a source and edits, all of the shapes world."""

    instruction: str
    source: bytes
    edits: tuple[bytes, ...]


_DRAWN = 300

_fresh = itertools.count()


def group(edits: int = 1) -> Group:
    """A group that nobody has asked about before, so that no cache answers it: its edits differ in a corner."""
    number = next(_fresh)
    sample = make("train", number)
    source = Image.fromarray(sample.source_pixels())
    pictures = []
    for index in range(edits):
        edited = Image.fromarray(sample.edited_pixels())
        edited.putpixel((0, 0), (number % 256, number // 256 % 256, index))
        pictures.append(png(edited))
    source.putpixel((0, 0), (number % 256, number // 256 % 256, 255))
    return Group(sample.instruction, png(source), tuple(pictures))


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


async def ask(
    client: httpx2.AsyncClient, asked: Group, fields: Mapping[str, Any] = MappingProxyType({}), /, **headers: str
) -> Reply:
    """Post a group to `/v1/rewards`, and check that what came back is measured or absent."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    request = json.dumps({"instruction": asked.instruction, **fields})
    files: list[tuple[str, Any]] = [("request", (None, request, "application/json"))]
    files.append(("source", ("source.png", asked.source, "image/png")))
    files += [("edited", ("edited.png", data, "image/png")) for data in asked.edits]
    try:
        reply = await client.post("/v1/rewards", files=files, headers=headers)
    except httpx2.TransportError:
        return Reply(None, seconds=loop.time() - began)
    results = reply.json().get("results", [])
    for result in results:
        measured = result["outcome"] == "scored"
        assert (result["score"] is not None) is measured, result
        assert (result["reward"] is not None) is measured, result
        assert (result["error"] is None) is measured, result
    if reply.status_code == 200:
        assert len(results) == len(asked.edits)
    outcomes = [result["outcome"] for result in results]
    scores = tuple(result["score"] for result in results)
    return Reply(reply.status_code, outcomes, reply.headers.get("retry-after"), loop.time() - began, scores)


def client_of(url: str, **headers: str) -> httpx2.AsyncClient:
    """A client that opens as many connections as it is asked for."""
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=200)
    return httpx2.AsyncClient(base_url=url, timeout=120.0, limits=limits, headers=headers)


def statuses(replies: Iterable[Reply]) -> Counter[int | None]:
    """How requests ended."""
    return Counter(reply.status for reply in replies)


async def closed_loop(
    client: httpx2.AsyncClient, workers: int, seconds: float, edits: int, *, warm_s: float = 6.0
) -> float:
    """Edits scored a second by workers that each send the next group when the last was answered.

    Counted is what is answered within `seconds`, after a time in which the pipeline has filled; the workers go on to
    its end, so that neither filling nor emptying makes the rate look lower than it is. Nor does drawing the groups,
    most of which are there before: the service shares its cores with this process.
    """
    made = [group(edits) for _ in range(_DRAWN)]
    loop = asyncio.get_running_loop()
    begin = loop.time() + warm_s
    scored = 0

    async def work() -> None:
        nonlocal scored
        while loop.time() < begin + seconds:
            reply = await ask(client, made.pop() if made else group(edits))
            if begin <= loop.time() < begin + seconds:
                scored += reply.scored

    await asyncio.gather(*(work() for _ in range(workers)))
    return scored / seconds


async def open_loop(
    client: httpx2.AsyncClient, groups_per_second: float, seconds: float, edits: int, **headers: str
) -> list[Reply]:
    """Send groups at a rate, whatever becomes of them; return how each ended."""
    made = [group(edits) for _ in range(round(groups_per_second * seconds))]
    tasks: list[asyncio.Task[Reply]] = []
    for one in made:
        tasks.append(asyncio.create_task(ask(client, one, **headers)))
        await asyncio.sleep(1.0 / groups_per_second)
    return list(await asyncio.gather(*tasks))


@dataclass(frozen=True)
class Overload:
    """What came of asking for several times what a service can do."""

    capacity: float
    """Edits scored a second where each worker waits for its answer."""
    goodput: float
    """The same while everybody sends without waiting."""
    replies: list[Reply]

    @property
    def refused(self) -> list[Reply]:
        """Those who were told to come back later."""
        return [reply for reply in self.replies if reply.status == 429]


async def overload(client: httpx2.AsyncClient, seconds: float, edits: int, *, times: float = 10.0) -> Overload:
    """Find out what a service can do, and then ask for a multiple of it."""
    # Enough to fill vLLM's batch and some to wait.
    capacity = await closed_loop(client, 40, 12.0, edits)
    replies = await open_loop(client, times * capacity / edits, seconds, edits)
    span = max(seconds, max(reply.seconds for reply in replies))
    return Overload(capacity, sum(reply.scored for reply in replies) / span, replies)


async def metric(client: httpx2.AsyncClient, name: str, **labels: str) -> float:
    """One series of the service's metrics; 0 where it is not there yet."""
    return value((await client.get("/metrics")).text, name, **labels) or 0.0
