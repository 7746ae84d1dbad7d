"""The client, for programs without an event loop: the same calls, waited for."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterable, Sequence
from concurrent.futures import CancelledError
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2

from edit_rrm.principles import Principle
from edit_rrm.verdicts import Aggregation, Mode, Reward
from edit_rrm.wire import DecomposeResponse, Identity, VerifyResponse
from edit_rrm_client.async_client import AsyncRewardClient, Priority, Progress
from edit_rrm_client.errors import RewardClientError
from edit_rrm_client.group import Group, GroupResult, OnError
from edit_rrm_client.images import ImageFormat, ImageInput, ImagesInput
from edit_rrm_client.stats import Stats

T = TypeVar("T")


class RewardClient:
    """Talks to an Edit-RRM service, or several replicas of one; safe to share between threads.

    ::

        with RewardClient("http://localhost:8000") as client:
            group = client.rewards("make the star blue", "source.png", ["one.png", "two.png"])
            print(group.rewards, group.mask)

    An `AsyncRewardClient` in a thread of its own, so that both behave alike, and a deadline is one however slowly an
    answer trickles in. May be pickled, and used after a fork. Closed, it gives up what other threads still wait for.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        *,
        api_key: str | None = None,
        timeout: float = 120.0,
        attempt_timeout: float | None = None,
        max_in_flight: int = 64,
        max_attempts: int | None = None,
        expect_identity: str | None = None,
        priority: Priority | None = None,
        image_format: ImageFormat = "webp",
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        """Prepare a client; nothing is sent yet. Arguments and errors are `AsyncRewardClient`'s."""
        self._client = AsyncRewardClient(
            url,
            api_key=api_key,
            timeout=timeout,
            attempt_timeout=attempt_timeout,
            max_in_flight=max_in_flight,
            max_attempts=max_attempts,
            expect_identity=expect_identity,
            priority=priority,
            image_format=image_format,
            transport=transport,
        )
        self._thread: _LoopThread | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        """What it was made with."""
        return {"client": self._client}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make it again."""
        self._client = state["client"]
        self._thread = None
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connections. The client may be used again."""
        with self._lock:
            thread = self._thread
            if thread is not None and thread.pid == os.getpid():
                thread.refuse_own()
            self._thread = None
        if thread is not None and thread.pid == os.getpid():
            thread.stop(self._client.close())

    def reward(
        self,
        instruction: str,
        source: ImageInput,
        edited: ImageInput,
        *,
        principles: Sequence[Principle] | None = None,
        mode: Mode = Mode.THINK,
        aggregation: Aggregation | None = None,
        samples: int = 1,
        timeout: float | None = None,
    ) -> Reward:
        """Judge one edit; see `AsyncRewardClient.reward`."""
        return self._run(
            self._client.reward(
                instruction,
                source,
                edited,
                principles=principles,
                mode=mode,
                aggregation=aggregation,
                samples=samples,
                timeout=timeout,
            )
        )

    def rewards(
        self,
        instruction: str,
        source: ImageInput,
        edited: ImagesInput,
        *,
        principles: Sequence[Principle] | None = None,
        mode: Mode = Mode.THINK,
        aggregation: Aggregation | None = None,
        samples: int = 1,
        timeout: float | None = None,
        on_error: OnError = "mask",
    ) -> GroupResult:
        """Judge a group of edits of one source; see `AsyncRewardClient.rewards`."""
        return self._run(
            self._client.rewards(
                instruction,
                source,
                edited,
                principles=principles,
                mode=mode,
                aggregation=aggregation,
                samples=samples,
                timeout=timeout,
                on_error=on_error,
            )
        )

    def score_groups(
        self,
        groups: Iterable[Group],
        *,
        mode: Mode = Mode.THINK,
        aggregation: Aggregation | None = None,
        samples: int = 1,
        timeout: float | None = None,
        on_error: OnError = "mask",
        in_flight: int | None = None,
        progress: Progress | None = None,
    ) -> list[GroupResult]:
        """Judge many groups, several at a time; see `AsyncRewardClient.score_groups`.

        Progress is told in the client's own thread, and what makes groups on the way runs in another.
        """
        return self._run(
            self._client.score_groups(
                groups,
                mode=mode,
                aggregation=aggregation,
                samples=samples,
                timeout=timeout,
                on_error=on_error,
                in_flight=in_flight,
                progress=progress,
            )
        )

    def decompose(self, instruction: str, source: ImageInput, *, timeout: float | None = None) -> DecomposeResponse:
        """Break an instruction into principles; see `AsyncRewardClient.decompose`."""
        return self._run(self._client.decompose(instruction, source, timeout=timeout))

    def verify(
        self,
        instruction: str,
        source: ImageInput,
        edited: ImageInput,
        principles: Sequence[Principle],
        *,
        mode: Mode = Mode.THINK,
        timeout: float | None = None,
    ) -> VerifyResponse:
        """Check principles on one edit; see `AsyncRewardClient.verify`."""
        return self._run(self._client.verify(instruction, source, edited, principles, mode=mode, timeout=timeout))

    def identity(self, *, timeout: float | None = None) -> Identity:
        """What exactly is judging; see `AsyncRewardClient.identity`."""
        return self._run(self._client.identity(timeout=timeout))

    def wait_until_ready(self, within: float = 600.0) -> None:
        """Return once the service takes work; see `AsyncRewardClient.wait_until_ready`."""
        self._run(self._client.wait_until_ready(within))

    def stats(self) -> Stats:
        """What this client has done so far."""
        return self._client.stats()

    def _run(self, call: Coroutine[Any, Any, T]) -> T:
        with self._lock:
            if self._thread is None or self._thread.pid != os.getpid():
                self._thread = _LoopThread()
            thread = self._thread
        return thread.run(call)


class _LoopThread:
    """An event loop in a thread, of one process."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="edit-rrm-client", daemon=True)
        self._thread.start()

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        """Wait for a call; where the waiting is interrupted, so is the call.

        Raises:
            RewardClientError: The client was closed meanwhile, or this is its own thread, which would wait for itself.
        """
        try:
            self.refuse_own()
            future = asyncio.run_coroutine_threadsafe(call, self._loop)
        except RewardClientError:
            call.close()
            raise
        except RuntimeError:  # its loop was closed between two lines of the caller
            call.close()
            raise _closed() from None
        try:
            return future.result()
        except CancelledError:
            raise _closed() from None
        except BaseException:
            future.cancel()
            raise

    def refuse_own(self) -> None:
        """Return where this is another thread than the loop's.

        Raises:
            RewardClientError: It is the loop's own, which would wait for itself.
        """
        if threading.current_thread() is self._thread:
            raise RewardClientError(
                "a RewardClient was called from its own thread, by a progress callback; use another client there",
                code="reentrant",
            )

    def stop(self, last: Coroutine[Any, Any, None]) -> None:
        """End the thread after a last thing to do. Calls that others still wait for are given up."""
        asyncio.run_coroutine_threadsafe(_give_up_others(), self._loop).result()
        asyncio.run_coroutine_threadsafe(last, self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _give_up_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _closed() -> RewardClientError:
    return RewardClientError("the client was closed while this call was under way", code="closed")
