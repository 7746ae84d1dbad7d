"""Services that refuse, lie, change or die: a typed error or a mask inside the deadline, never a made-up number."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edit_rrm.verdicts import Outcome
from edit_rrm_client import (
    AsyncRewardClient,
    BadResponseError,
    Group,
    GroupResult,
    IdentityChangedError,
    RewardClient,
    RewardClientError,
)
from tests.client.fake_service import running
from tests.client.steps import IDENTITY, OTHER, failed, judged, scored
from tests.fakes.service_process import fake_service, free_port
from tests.service.running import png

SOURCE = png("white", (32, 32))


def edit(score: float) -> bytes:
    """An image that the fake service scores so, to a tenth."""
    return png(f"#{round(score * 10):02x}4040", (32, 32))


class Fickle:
    """A service that is one way until a time has passed, and then another."""

    def __init__(self, bad: list[Response], seconds: float, good: int = 2, identity: str = IDENTITY) -> None:
        self._bad = bad
        self._until = time.monotonic() + seconds
        self._good = judged(*[scored(5.0)] * good, identity=identity)
        self.asked = 0

    async def answer(self, request: Request) -> Response:
        await request.body()
        self.asked += 1
        if time.monotonic() < self._until:
            return self._bad[self.asked % len(self._bad)]
        return Response(self._good.body, media_type="application/json")

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/v1/rewards", self.answer, methods=["POST"])])


def error(status: int, code: str, **headers: str) -> Response:
    """A retryable error of the service."""
    made = failed(status, code, retryable=True)
    return Response(made.body, status, headers, media_type="application/json")


@pytest.mark.parametrize(
    "bad",
    [
        [error(429, "overloaded", **{"retry-after": "1"})],
        [error(503, "draining", **{"retry-after": "1"})],
        [Response("<html>502</html>", 502), Response("<html>504</html>", 504)],
    ],
    ids=["429", "draining", "proxy"],
)
def test_seconds_of_refusals_are_waited_out(bad: list[Response]) -> None:
    service = Fickle(bad, seconds=3.0)
    with running(service.app()) as url, RewardClient(url, timeout=30.0) as client:
        result = client.rewards("x", SOURCE, [edit(1.0), edit(2.0)])
        stats = client.stats()
    assert result.rewards.tolist() == [0.5, 0.5]
    assert result.attempts == service.asked > 1
    assert (stats.limit < 8) is (bad[0].status_code == 429), "only being told that there are too many means fewer"


def test_tries_of_one_call_share_an_idempotency_key() -> None:
    keys: list[str] = []

    async def answer(request: Request) -> Response:
        await request.body()
        keys.append(request.headers["idempotency-key"])
        if len(keys) < 3:
            return error(503, "draining")
        return Response(scored(5.0).model_dump_json(), media_type="application/json")

    app = Starlette(routes=[Route("/v1/reward", answer, methods=["POST"])])
    with running(app) as url, RewardClient(url, timeout=30.0) as client:
        for _ in range(2):
            client.reward("x", SOURCE, edit(1.0))
    assert len(keys) == 4
    assert (len(set(keys[:3])), len(set(keys))) == (1, 2)


def test_refusals_that_do_not_end_end_at_the_deadline_in_masks() -> None:
    service = Fickle([error(429, "overloaded", **{"retry-after": "1"})], seconds=60.0)
    with running(service.app()) as url, RewardClient(url, timeout=2.5) as client:
        began = time.monotonic()
        result = client.rewards("x", SOURCE, [edit(1.0), edit(2.0)])
        assert time.monotonic() - began < 3.0
    assert result.outcomes == (Outcome.OVERLOADED,) * 2
    assert not result.mask.any()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Response(b"{not json", media_type="application/json"), BadResponseError),
        (JSONResponse({"results": [{"outcome": "scored"}] * 2, "request_id": "r", "identity": "i"}), BadResponseError),
        (JSONResponse({"results": [{"outcome": "unparsable", "score": 3.0}] * 2}), BadResponseError),
        (Response(judged(scored(5.0)).body), BadResponseError),
        (Response(judged(*[scored(5.0)] * 3).body), BadResponseError),
        (Response(judged(*[scored(5.0)] * 2, identity=OTHER).body), IdentityChangedError),
    ],
    ids=["garbage", "scored without a score", "a score without being scored", "too few", "too many", "another judge"],
)
def test_lies_are_typed_errors(answer: Response, kind: type[RewardClientError]) -> None:
    service = Fickle([answer], seconds=60.0)
    with running(service.app()) as url, RewardClient(url, timeout=10.0, expect_identity=IDENTITY) as client:
        with pytest.raises(kind):
            client.rewards("x", SOURCE, [edit(1.0), edit(2.0)])
        with pytest.raises(kind):
            client.score_groups([Group("x", SOURCE, [edit(1.0), edit(2.0)])])


def test_a_service_that_is_killed_and_started_again_is_waited_for(tmp_path: Path) -> None:
    port = free_port()
    with RewardClient(f"http://127.0.0.1:{port}", timeout=60.0) as client, ThreadPoolExecutor(1) as pool:
        with fake_service(tmp_path / "log", port=port):
            assert client.rewards("x", SOURCE, [edit(1.0)]).rewards.tolist() == pytest.approx([0.1])
        asked = pool.submit(client.rewards, "x", SOURCE, [edit(2.0)])
        time.sleep(1.0)
        with fake_service(tmp_path / "log", port=port):
            result = asked.result()
    assert result.rewards.tolist() == pytest.approx([0.2])
    assert result.attempts > 1


GROUPS, EDITS = 1_000, 24


@pytest.mark.slow
async def test_a_thousand_groups_with_a_replica_killed_and_restarted_on_the_way(tmp_path: Path) -> None:
    """Every entry is measured or masked, in order; and as one replica is always there, all are measured."""
    scores = np.random.default_rng(0).integers(0, 101, (GROUPS, EDITS)) / 10.0
    files = {tenths / 10.0: edit(tenths / 10.0) for tenths in range(101)}
    done = asyncio.Event()

    def groups() -> Iterator[Group]:
        for number in range(GROUPS):
            yield Group(f"edit {number}", SOURCE, [files[score] for score in scores[number]])

    def progress(finished: int, total: int | None) -> None:
        if finished == GROUPS // 4:
            done.set()

    async def fall_and_rise(stack: ExitStack, falling: ExitStack, port: int) -> None:
        await done.wait()
        await asyncio.to_thread(falling.close)
        await asyncio.sleep(2.0)
        await asyncio.to_thread(stack.enter_context, fake_service(tmp_path / "risen", port=port))

    with ExitStack() as stack, ExitStack() as falling:
        port = free_port()
        urls = [stack.enter_context(fake_service(tmp_path / "steady")).url]
        urls.append(falling.enter_context(fake_service(tmp_path / "falling", port=port)).url)
        async with AsyncRewardClient(urls, timeout=120.0) as client:
            accident = asyncio.ensure_future(fall_and_rise(stack, falling, port))
            results: list[GroupResult] = await client.score_groups(groups(), progress=progress)
            await accident
            stats = client.stats()
    assert len(results) == GROUPS
    assert all(result.mask.all() for result in results)
    found = np.array([[one.score for one in result.results] for result in results])
    assert np.array_equal(found, scores)
    assert dict(stats.outcomes) == {"scored": GROUPS * EDITS}
    assert stats.retries.get("connection_failed", 0) > 0, "the replica's death was noticed"
