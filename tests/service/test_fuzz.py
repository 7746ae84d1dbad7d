"""Bytes that were never an image, or are one no more: each ends in an outcome, and none in a 500."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import httpx2
import pytest

from tests.fakes.engine import FakeEngine
from tests.service.running import error_of, png, post, running

ROUNDS = 40
EDITS = 25
KINDS = ("PNG", "JPEG", "WEBP", "PPM")


def mutants(seed: int) -> Iterator[bytes]:
    """Files of every kind, cut, spliced, with bytes flipped, repeated and made up."""
    rng = random.Random(seed)
    seeds = [png(colour, (40, 30), mode, kind) for colour in ("red", "blue") for kind in KINDS for mode in ("RGB", "L")]
    while True:
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(0, 4)):
            place = rng.randrange(len(data) + 1)
            match rng.randrange(6):
                case 0:
                    del data[place:]
                case 1:
                    data[place : place + rng.randint(1, 9)] = rng.randbytes(rng.randint(0, 9))
                case 2:
                    other = rng.choice(seeds)
                    data[place:] = other[rng.randrange(len(other)) :]
                case 3 if data:
                    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
                case 4:
                    data[place:place] = data[: rng.randint(0, 60)]
                case _:
                    data = bytearray(rng.randbytes(rng.randint(0, 80)))
        yield bytes(data) or b"\0"


def bodies(seed: int) -> Iterator[tuple[bytes, dict[str, str]]]:
    """Forms with bytes overwritten, taken out and put in, anywhere; and their headers."""
    rng = random.Random(seed)
    request = httpx2.Request(
        "POST",
        "http://service/v1/rewards",
        files=[
            ("request", (None, '{"instruction": "make it blue"}', "application/json")),
            ("source", ("s.png", png("red", (20, 20)), "image/png")),
            ("edited", ("e.png", png("blue", (20, 20)), "image/png")),
        ],
    )
    whole, headers = request.read(), {"content-type": request.headers["content-type"]}
    while True:
        body = bytearray(whole)
        for _ in range(rng.randint(1, 5)):
            place = rng.randrange(len(body))
            body[place : place + rng.randint(0, 12)] = rng.randbytes(rng.randint(0, 12))
        yield bytes(body), headers


async def test_a_thousand_damaged_images_each_end_in_an_outcome() -> None:
    files = mutants(0)
    seen: Counter[str] = Counter()
    async with running(FakeEngine()) as client:
        for _ in range(ROUNDS):
            reply = await post(client, "/v1/rewards", edited=tuple(next(files) for _ in range(EDITS)))
            assert reply.status_code == 200, reply.text
            seen.update(result["outcome"] for result in reply.json()["results"])
    assert set(seen) == {"scored", "bad_image"}
    assert sum(seen.values()) == ROUNDS * EDITS
    assert min(seen.values()) > 50


# Starlette leaves the file of a part without an end to be closed when it is dropped, which is at once.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <function SpooledTemporaryFile")
@pytest.mark.filterwarnings("ignore:Unclosed file <tempfile.SpooledTemporaryFile:ResourceWarning")
@pytest.mark.parametrize("seed", range(4))
async def test_damaged_bodies_are_the_senders_fault(seed: int) -> None:
    damaged = bodies(seed)
    statuses: Counter[int] = Counter()
    async with running(FakeEngine()) as client:
        for _ in range(100):
            body, headers = next(damaged)
            reply = await client.post("/v1/rewards", content=body, headers=headers)
            statuses[reply.status_code] += 1
            if reply.status_code != 200:
                assert error_of(reply)["retryable"] is False
    assert set(statuses) <= {200, 400, 415, 422}
