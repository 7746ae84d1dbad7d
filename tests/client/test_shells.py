"""The two clients: one surface, exact deadlines, and at home in any process, thread and event loop."""

from __future__ import annotations

import asyncio
import inspect
import multiprocessing
import os
import pickle
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image

from edit_rrm.verdicts import Outcome
from edit_rrm_client import (
    AsyncRewardClient,
    ConnectionFailedError,
    DeadlineError,
    Group,
    IdentityChangedError,
    InvalidImageError,
    RewardClient,
    RewardClientError,
    UnscoredError,
)
from tests.client.fake_service import judgement, judging_service

SOURCE = Image.new("RGB", (64, 64), "red")
PUBLIC = ["close", "decompose", "identity", "reward", "rewards", "score_groups", "stats", "verify", "wait_until_ready"]


def shade(share: float) -> np.ndarray[tuple[int, int, int], np.dtype[np.float32]]:
    return np.full((3, 64, 64), share, np.float32)


def answer(edited: Image.Image) -> str:
    """The lighter, the better; of black images the judge babbles."""
    light = edited.getpixel((0, 0))[0]  # type: ignore[index]  # a tuple, as edited images are RGB
    return judgement(round(light / 25.5, 1)) if light else "I am not sure."


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with judging_service(answer) as started:
        with RewardClient(started) as client:
            client.wait_until_ready(30.0)
        yield started


@pytest.mark.parametrize("name", ["__init__", *PUBLIC])
def test_both_have_the_same_surface(name: str) -> None:
    plain, other = getattr(RewardClient, name), getattr(AsyncRewardClient, name)
    assert inspect.signature(plain) == inspect.signature(other)
    assert plain.__doc__
    assert inspect.iscoroutinefunction(other) is (name not in ("__init__", "stats"))


def test_there_is_no_more_to_either() -> None:
    for kind in (RewardClient, AsyncRewardClient):
        assert sorted(name for name in vars(kind) if not name.startswith("_")) == PUBLIC


def groups(count: int) -> Iterator[Group]:
    """Of three edits each; the second is one that the judge babbles about."""
    for number in range(count):
        yield Group(f"edit {number}", SOURCE, [shade(0.1 * (number % 10 + 1)), shade(0.0), shade(0.5)])


def check(results: list, count: int) -> None:  # type: ignore[type-arg]  # of group results
    assert len(results) == count
    for number, result in enumerate(results):
        assert result.mask.tolist() == [True, False, True]
        assert result.rewards[0] == pytest.approx(0.1 * (number % 10 + 1), abs=0.006)
        assert result.outcomes[1] is Outcome.UNPARSABLE


def test_many_groups_come_back_in_order_with_progress(url: str) -> None:
    told: list[tuple[int, int | None]] = []
    with RewardClient(url) as client:
        check(client.score_groups(groups(60), in_flight=7, progress=lambda *done: told.append(done)), 60)
        check(client.score_groups(list(groups(3)), progress=lambda *done: told.append(done)), 3)
        stats = client.stats()
    assert told == [*((done, None) for done in range(1, 61)), (1, 3), (2, 3), (3, 3)]
    assert stats.outcomes == {"scored": 126, "unparsable": 63}
    assert stats.failed_share == pytest.approx(1 / 3)
    assert (stats.requests, stats.in_flight) == (63, 0)
    assert stats.limit > 8


def test_groups_are_taken_as_there_is_room_and_a_failure_ends_the_rest(url: str) -> None:
    taken = 0

    def endless() -> Iterator[Group]:
        nonlocal taken
        for group in groups(10_000):
            taken += 1
            yield group

    with RewardClient(url) as client, pytest.raises(UnscoredError) as caught:
        client.score_groups(endless(), in_flight=4, on_error="raise")
    assert taken <= 8
    assert caught.value.result.mask.tolist() == [True, False, True]
    assert caught.value.code == "unparsable"


async def test_the_other_one_does_the_same(url: str) -> None:
    async with AsyncRewardClient([url]) as client:
        check(await client.score_groups(groups(20)), 20)
        assert (await client.reward("x", SOURCE, shade(1.0))).score == 10.0
        principles = (await client.decompose("x", SOURCE)).principles
        assert len((await client.verify("x", SOURCE, shade(1.0), principles)).verdicts) == 2
        assert (await client.identity()).identity
        await client.wait_until_ready(1.0)


def test_a_client_outlives_its_event_loops(url: str) -> None:
    client = AsyncRewardClient(url)

    async def once() -> float | None:
        async with client:
            return (await client.reward("x", SOURCE, shade(1.0))).score

    assert [asyncio.run(once()) for _ in range(3)] == [10.0] * 3


def test_many_threads_share_one(url: str) -> None:
    with RewardClient(url) as client, ThreadPoolExecutor(16) as pool:
        scores = list(pool.map(lambda share: client.reward("x", SOURCE, shade(share / 10)).score, range(1, 11)))
    assert scores == pytest.approx([float(share) for share in range(1, 11)], abs=0.06)


async def test_the_plain_one_works_where_an_event_loop_runs(url: str) -> None:
    with RewardClient(url) as client:
        assert client.reward("x", SOURCE, shade(1.0)).score == 10.0


def test_it_is_closed_and_used_again(url: str) -> None:
    client = RewardClient(url)
    for _ in range(2):
        assert client.identity().identity
        client.close()
        client.close()
    assert not any(thread.name == "edit-rrm-client" for thread in threading.enumerate())


def _in_child(client: RewardClient, pipe: multiprocessing.connection.Connection) -> None:
    with client:
        pipe.send((os.getpid(), client.reward("x", SOURCE, shade(1.0)).score))


# Python warns of forking where there are threads; trainers do it all the same.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_it_is_used_on_the_other_side_of_a_fork_or_spawn(url: str, method: str) -> None:
    context: Any = multiprocessing.get_context(method)
    with RewardClient(url) as client:
        assert client.reward("x", SOURCE, shade(1.0)).score == 10.0  # connections and a thread exist
        mine, theirs = context.Pipe()
        child = context.Process(target=_in_child, args=(client, theirs))
        child.start()
        assert mine.poll(60.0)
        pid, score = mine.recv()
        child.join(10.0)
        assert (pid != os.getpid(), score, child.exitcode) == (True, 10.0, 0)
        assert client.reward("x", SOURCE, shade(0.5)).score == pytest.approx(5.0, abs=0.06)
        mine.close()
        theirs.close()


def test_a_pickled_client_keeps_the_judge_it_has_pinned(url: str) -> None:
    with RewardClient(url, expect_identity="first") as client:
        client.reward("x", SOURCE, shade(1.0))
        identity = client.identity().identity
        copy = pickle.loads(pickle.dumps(client))
    with copy:
        assert copy._client._session.pinned == identity
        assert copy.reward("x", SOURCE, shade(1.0)).score == 10.0


def test_another_judge_than_the_pinned_one_is_an_error_and_never_masked(url: str) -> None:
    with RewardClient(url, expect_identity="f" * 64) as client:
        with pytest.raises(IdentityChangedError):
            client.rewards("x", SOURCE, [shade(1.0)])
        with pytest.raises(IdentityChangedError):
            client.score_groups(groups(3))


@contextmanager
def peer(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that treats every connection so."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stopped = threading.Event()

        def one(connection: socket.socket) -> None:
            with connection:
                try:
                    connection.settimeout(5.0)
                    serve(connection)
                except OSError:
                    pass

        def accept() -> None:
            while not stopped.is_set():
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=one, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stopped.set()
            listener.shutdown(socket.SHUT_RDWR)
    thread.join(5.0)


def stalled(connection: socket.socket) -> None:
    time.sleep(3.0)


def trickling(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    for _ in range(100):
        connection.sendall(b" ")
        time.sleep(0.05)


def reset_mid_body(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{")


def unread(connection: socket.socket) -> None:
    """Takes a little of the body and no more."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    connection.recv(10)
    time.sleep(3.0)


@pytest.mark.parametrize("serve", [stalled, trickling, reset_mid_body, unread])
def test_a_deadline_is_one_whatever_the_other_side_does(serve: Callable[[socket.socket], None]) -> None:
    big = np.random.default_rng(0).integers(0, 256, (1_024, 1_024, 3), dtype=np.uint8)
    with peer(serve) as broken, RewardClient(broken, timeout=1.0) as client:
        began = time.monotonic()
        with pytest.raises(DeadlineError):
            client.reward("x", big, big)
        result = client.rewards("x", SOURCE, [shade(1.0)] * 2)
        assert time.monotonic() - began < 2.8
    assert not result.mask.any()
    assert np.isnan(result.rewards).all()


def test_a_client_that_is_closed_leaves_nobody_waiting() -> None:
    """One thread closes what another waits for: that call ends at once, with an error that says so."""
    with listening_to_nobody() as url:
        client = RewardClient(url, timeout=60.0)
        ended: list[BaseException] = []

        def wait() -> None:
            try:
                client.identity()
            except RewardClientError as error:
                ended.append(error)

        waiting = threading.Thread(target=wait)
        waiting.start()
        time.sleep(0.3)
        client.close()
        waiting.join(5.0)
        assert not waiting.is_alive()
        (error,) = ended
        assert isinstance(error, RewardClientError)
        assert error.code == "closed"


@contextmanager
def listening_to_nobody() -> Iterator[str]:
    """A server that takes connections and says nothing."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_callback_that_calls_its_own_client_is_told_and_does_not_wait_for_ever(url: str) -> None:
    with RewardClient(url) as client:

        def again(done: int, total: int | None) -> None:
            client.identity()

        with pytest.raises(RewardClientError, match="from its own thread") as caught:
            client.score_groups([Group("x", SOURCE, [shade(0.5)])], progress=again)
        assert caught.value.code == "reentrant"

        def asking() -> Iterator[Group]:
            yield Group(client.identity().name, SOURCE, [shade(0.5)])

        assert client.score_groups(asking())[0].mask.all(), "who makes groups may ask"

        def closing() -> Iterator[Group]:
            client.close()
            yield Group("x", SOURCE, [shade(0.5)])

        with pytest.raises(RewardClientError, match="was closed while this call was under way"):
            client.score_groups(closing())
        assert client.identity().name


def test_making_groups_slowly_costs_those_under_way_nothing(url: str) -> None:
    def slowly() -> Iterator[Group]:
        for number in range(3):
            yield Group(f"x {number}", SOURCE, [shade(0.5)])
            time.sleep(1.5)

    with RewardClient(url, timeout=1.0) as client:
        client.identity(timeout=10.0)
        assert all(result.mask.all() for result in client.score_groups(slowly()))


def test_single_edits_are_counted_too(url: str) -> None:
    with RewardClient(url) as client:
        client.reward("x", SOURCE, shade(0.5))
        with pytest.raises(RewardClientError):
            client.reward("x", SOURCE, shade(0.0))
        stats = client.stats()
        assert dict(stats.outcomes) == {"scored": 1, "unparsable": 1}
        assert stats.failed_share == 0.5


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0])
def test_a_time_that_is_none_is_refused_and_not_waited_for(url: str, seconds: float) -> None:
    with pytest.raises(RewardClientError, match="a finite number of seconds"):
        RewardClient(url, timeout=seconds)
    with RewardClient(url) as client:
        for call in (lambda: client.identity(timeout=seconds), lambda: client.wait_until_ready(seconds)):
            with pytest.raises(RewardClientError) as caught:
                call()
            assert caught.value.code == "invalid_timeout"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"url": []}, "invalid_url"),
        ({"url": "http://x", "max_in_flight": 0}, "invalid_limit"),
        ({"url": "http://x", "max_attempts": 0}, "invalid_limit"),
        ({"url": "http://x", "expect_identity": "é"}, "invalid_identity"),
        ({"url": "http://x", "expect_identity": " "}, "invalid_identity"),
        ({"url": "http://user:one@x", "api_key": "two"}, "invalid_api_key"),
        ({"url": ["http://user:one@x", "http://user:two@y"]}, "invalid_api_key"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: dict[str, Any], code: str) -> None:
    with pytest.raises(RewardClientError) as caught:
        RewardClient(**arguments)
    assert caught.value.code == code
    assert "one" not in str(caught.value).split("API keys")[0] or code != "invalid_api_key"


def test_a_key_in_the_url_is_the_key_and_is_never_shown() -> None:
    seen: list[str] = []

    def answering(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers.get("authorization", ""))
        raise httpx2.ConnectError("refused")

    refusing = httpx2.MockTransport(answering)
    for given in ({"url": "http://trainer:hidden@judge:8000/"}, {"url": "http://judge:8000", "api_key": " hidden\n"}):
        client = RewardClient(**given, transport=refusing)  # type: ignore[arg-type]  # strings
        with client, pytest.raises(ConnectionFailedError) as caught:
            client.identity()
        assert "hidden" not in str(caught.value)
        assert "http://judge:8000 did not answer" in str(caught.value)
    assert set(seen) == {"Bearer hidden"}
    nameless = RewardClient("http://judge:8000", api_key="", transport=refusing)
    with nameless, pytest.raises(ConnectionFailedError):
        nameless.identity()
    assert seen[-1] == ""


def test_proxies_of_the_environment_are_not_asked(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with RewardClient(url, timeout=20.0) as client:
        assert client.identity().identity


def test_one_edit_that_is_no_image_costs_itself_and_all_of_them_are_a_mistake(url: str) -> None:
    nan = np.full((3, 64, 64), np.nan, np.float32)
    with RewardClient(url) as client:
        result = client.rewards("x", SOURCE, [shade(0.5), nan, "nowhere.png", shade(1.0)])
        assert result.mask.tolist() == [True, False, False, True]
        assert result.rewards[[0, 3]].tolist() == pytest.approx([0.5, 1.0], abs=0.02)
        assert result.outcomes[1] is Outcome.BAD_IMAGE
        assert [one.error.param for one in result.results if one.error] == ["edited[1]", "edited[2]"]
        with pytest.raises(InvalidImageError, match="scale them to 0 to 1"):
            client.rewards("x", SOURCE, [shade(0.5) * 255.0] * 3)
        with pytest.raises(InvalidImageError, match="put it in a list"):
            client.rewards("x", SOURCE, shade(0.5))
        assert client.rewards("x", SOURCE, np.stack([shade(0.5)] * 2)).mask.all()
        assert client.score_groups([Group("x", SOURCE, [nan, shade(0.5)])])[0].mask.tolist() == [False, True]
        with pytest.raises(RewardClientError, match="in_flight=-1"):
            client.score_groups([], in_flight=-1)
