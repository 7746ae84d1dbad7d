"""The client, for asyncio."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Callable, Iterable, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import httpx2

from edit_rrm.principles import Principle
from edit_rrm.verdicts import Aggregation, Mode, Reward
from edit_rrm.wire import DecomposeResponse, Identity, VerifyResponse
from edit_rrm_client.call import ADVICE, Enter, NoResponse, Pause, Send, Session, Steps, exchange
from edit_rrm_client.concurrency import Aimd, Gate
from edit_rrm_client.errors import BadResponseError, ConnectionFailedError, InvalidImageError, RewardClientError
from edit_rrm_client.group import Group, GroupResult, OnError, Wishes, outcome_of, score, unsendable
from edit_rrm_client.images import ImageFormat, ImageInput, ImagesInput, encode_image, listed
from edit_rrm_client.protocol import HttpRequest, HttpResponse, build_request, dumped, reward_fields
from edit_rrm_client.retry import RetryPolicy
from edit_rrm_client.servers import Servers
from edit_rrm_client.stats import Stats
from edit_rrm_client.transport import checked_identity, checked_seconds, checked_urls, http_client, send

T = TypeVar("T")
IdentifiedT = TypeVar("IdentifiedT", Reward, DecomposeResponse, VerifyResponse, Identity)
Progress = Callable[[int, int | None], None]
"""Is told how many groups are done, and of how many (None where that is not known)."""
Priority = Literal["interactive", "training"]

_SHOWN = 200
_READY_S = 5.0
_LOOK_S = 0.2


@dataclass
class _Here:
    """What belongs to one event loop of one process."""

    loop: asyncio.AbstractEventLoop
    pid: int
    http: httpx2.AsyncClient
    gate: Gate


class AsyncRewardClient:
    """Talks to an Edit-RRM service, or several replicas of one; for any number of tasks.

    ::

        async with AsyncRewardClient("http://localhost:8000") as client:
            group = await client.rewards("make the star blue", "source.png", ["one.png", "two.png"])
            print(group.rewards, group.mask)

    May be pickled, and used after a fork: connections are made where they are first needed.
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
        """Prepare a client; nothing is sent yet.

        Args:
            url: The service's base URL, or those of its replicas. A key may be its password: http://user:KEY@host.
            api_key: Key to send, where the service wants one.
            timeout: Seconds that a call may take with all its tries and waits; calls may say their own.
            attempt_timeout: Seconds that one try may take; as long as the call where left out.
            max_in_flight: Requests under way at most. There are fewer while the service answers 429.
            max_attempts: Tries of a request at most; as many as there is time for where left out.
            expect_identity: The judge's identity; or ``first``, for that of the first answer. Another one is an error.
            priority: To ask for; the service's own default where left out.
            image_format: What pixels are sent as: ``webp``, compressed without loss; or ``ppm``, three bytes a pixel,
                which spares both ends the work where the network is fast; or ``png``. Files are sent as they are.
            transport: Replaces the network, for tests.

        Raises:
            RewardClientError: A URL, the key or another argument cannot be used at all.
        """
        self._arguments: dict[str, Any] = {
            "url": url,
            "api_key": api_key,
            "timeout": timeout,
            "attempt_timeout": attempt_timeout,
            "max_in_flight": max_in_flight,
            "max_attempts": max_attempts,
            "expect_identity": expect_identity,
            "priority": priority,
            "image_format": image_format,
            "transport": transport,
        }
        if max_in_flight < 1 or (max_attempts is not None and max_attempts < 1):
            raise RewardClientError("max_in_flight and max_attempts are at least 1", code="invalid_limit")
        urls, key = checked_urls(url, api_key)
        identity = checked_identity(expect_identity)
        self._session = Session(
            servers=Servers(urls),
            retry=RetryPolicy(max_attempts=max_attempts),
            timeout_s=checked_seconds("timeout", timeout),
            attempt_timeout_s=checked_seconds("attempt_timeout", attempt_timeout or timeout),
            pinned=None if identity == "first" else identity,
            pin_first=identity == "first",
        )
        self._headers = {} if key is None else {"authorization": f"Bearer {key}"}
        self._max_in_flight = max_in_flight
        self._limit = Aimd(max_in_flight)
        self._priority = priority
        self._image_format = image_format
        self._transport = transport
        self._state: _Here | None = None
        self._pool: tuple[int, ThreadPoolExecutor] | None = None

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self.close()

    def __getstate__(self) -> dict[str, Any]:
        """What it was made with, and the identity it has pinned: enough to make it again in another process."""
        return {**self._arguments, "expect_identity": self._session.pinned or self._arguments["expect_identity"]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make it again."""
        type(self).__init__(self, **state)

    async def close(self) -> None:
        """Close the connections. The client may be used again."""
        state, self._state = self._state, None
        if state is not None and state.pid == os.getpid() and state.loop is asyncio.get_running_loop():
            await state.http.aclose()
        pool, self._pool = self._pool, None
        if pool is not None and pool[0] == os.getpid():
            pool[1].shutdown(wait=False)

    async def reward(
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
        """Judge one edit.

        Args:
            instruction: What the edit was meant to do.
            source: The image before.
            edited: The image after.
            principles: To verify; the judge decomposes the instruction where left out.
            mode: How they are verified.
            aggregation: How verdicts become a score; the judge's own way where left out.
            samples: Judgements to average.
            timeout: Seconds for all of it, where the client's are not meant.

        Raises:
            ApiStatusError: Anything but a measured score; `code` names the outcome or what is wrong with the request.
            ConnectionFailedError: Nobody answered; `DeadlineError` where that was for want of time.
        """
        deadline = self._deadline(timeout)
        files = await self._encoded([source, edited])
        fields = reward_fields(instruction, principles, Mode(mode), _aggregation(aggregation), samples)
        request = build_request("/v1/reward", fields, files[0], files[1:])
        try:
            found = await self._identified(Reward, request, deadline)
        except RewardClientError as error:
            self._session.counters.ended([outcome_of(error).value])
            raise
        self._session.counters.ended([found.outcome.value])
        return found

    async def rewards(
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
        """Judge a group of edits of one source.

        The source is encoded and sent once. Edits that fail and may not fail again are sent again, alone.

        Args:
            instruction: What the edits were meant to do.
            source: The image before.
            edited: The images after.
            principles: To verify; the judge decomposes the instruction where left out.
            mode: How they are verified.
            aggregation: How verdicts become a score; the judge's own way where left out.
            samples: Judgements to average.
            timeout: Seconds for all of it, where the client's are not meant.
            on_error: ``mask`` what could not be measured, or ``raise``.

        Raises:
            UnscoredError: Some edits were not measured, and `on_error` is ``raise``.
            ApiStatusError: The request itself is wrong, or the key, or the judge is another than the pinned one.
        """
        wishes = Wishes(Mode(mode), _aggregation(aggregation), samples)
        return await self._score(
            Group(instruction, source, listed(edited), principles), wishes, self._deadline(timeout), on_error
        )

    async def score_groups(
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
        """Judge many groups, several at a time.

        Args:
            groups: Taken one by one, as there is room for them; what makes them on the way runs in a thread.
            mode: How principles are verified.
            aggregation: How verdicts become a score.
            samples: Judgements to average.
            timeout: Seconds for each group, from when it is taken.
            on_error: ``mask`` what could not be measured, or ``raise`` at the first group that has such an edit.
            in_flight: Groups held at a time; the client's `max_in_flight` where left out.
            progress: Is told after every group.

        Returns:
            One result a group, in their order.

        Raises:
            UnscoredError, ApiStatusError: As `rewards`; groups that are under way then are given up.
        """
        if in_flight is not None and in_flight < 1:
            raise RewardClientError(f"in_flight={in_flight}; at least one group has to be", code="invalid_limit")
        total = len(groups) if isinstance(groups, Sized) else None
        wishes = Wishes(Mode(mode), _aggregation(aggregation), samples)
        results: dict[int, GroupResult] = {}
        numbered = enumerate(groups)

        taking = asyncio.Lock()

        async def taken() -> tuple[int, Group] | None:
            if isinstance(groups, Sequence):
                return next(numbered, None)
            # Whoever makes groups may take its time, and calls that are under way have none to lose.
            async with taking:
                return await asyncio.to_thread(next, numbered, None)

        async def worker() -> None:
            while (one := await taken()) is not None:
                number, group = one
                results[number] = await self._score(group, wishes, self._deadline(timeout), on_error)
                if progress is not None:
                    progress(len(results), total)

        workers = [asyncio.ensure_future(worker()) for _ in range(in_flight or self._max_in_flight)]
        try:
            await asyncio.gather(*workers)
        finally:
            for one in workers:
                one.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        return [results[number] for number in range(len(results))]

    async def decompose(
        self, instruction: str, source: ImageInput, *, timeout: float | None = None
    ) -> DecomposeResponse:
        """Break an instruction into principles. Raises as `reward` does."""
        deadline = self._deadline(timeout)
        (file,) = await self._encoded([source])
        request = build_request("/v1/decompose", {"instruction": instruction}, file)
        return await self._identified(DecomposeResponse, request, deadline)

    async def verify(
        self,
        instruction: str,
        source: ImageInput,
        edited: ImageInput,
        principles: Sequence[Principle],
        *,
        mode: Mode = Mode.THINK,
        timeout: float | None = None,
    ) -> VerifyResponse:
        """Check principles on one edit; verdicts without a score. Raises as `reward` does."""
        deadline = self._deadline(timeout)
        files = await self._encoded([source, edited])
        fields = {"instruction": instruction, "principles": dumped(principles), "mode": Mode(mode).value}
        request = build_request("/v1/verify", fields, files[0], files[1:])
        return await self._identified(VerifyResponse, request, deadline)

    async def identity(self, *, timeout: float | None = None) -> Identity:
        """What exactly is judging. Raises as `reward` does."""
        return await self._identified(Identity, HttpRequest("/v1/identity"), self._deadline(timeout))

    async def wait_until_ready(self, within: float = 600.0) -> None:
        """Return once the service takes work, or one of its replicas does.

        Raises:
            ConnectionFailedError: It did not within `within` seconds.
        """
        clock = self._session.clock
        deadline = clock() + checked_seconds("within", within)
        http = self._here().http
        last = ""
        while True:
            for url in self._session.servers.urls:
                left = min(_READY_S, max(0.1, deadline - clock()))
                reply = await send(http, Send(url, HttpRequest("/readyz"), {}, left))
                if isinstance(reply, HttpResponse) and reply.status < 300:
                    return
                last = reply.reason if isinstance(reply, NoResponse) else _shown(reply)
            if clock() >= deadline:
                break
            await asyncio.sleep(min(_LOOK_S, max(0.0, deadline - clock())))
        message = f"{', '.join(self._session.servers.urls)} was not ready within {within:g} s ({last}); {ADVICE}"
        raise ConnectionFailedError(message, code="not_ready", retryable=True)

    def stats(self) -> Stats:
        """What this client has done so far."""
        under_way = 0 if self._state is None else self._state.gate.under_way
        return self._session.counters.stats(under_way, self._limit.limit)

    async def _score(self, group: Group, wishes: Wishes, deadline: float, on_error: OnError) -> GroupResult:
        (source,) = await self._encoded([group.source])
        steps = score(
            self._session,
            group.instruction,
            source,
            await self._encoded_edits(group.edited),
            group.principles,
            wishes,
            deadline=deadline,
            on_error=on_error,
            priority=self._priority,
        )
        return await self._take(steps)

    async def _identified(self, model: type[IdentifiedT], request: HttpRequest, deadline: float) -> IdentifiedT:
        """Exchange a request for an answer that says who judged, and hold it to the pinned identity."""
        headers: dict[str, str] = {} if self._priority is None else {"x-priority": self._priority}
        if request.parts:
            headers["idempotency-key"] = uuid.uuid4().hex  # one for all tries
        found = await self._take(exchange(self._session, model, request, deadline=deadline, headers=headers))
        if found.identity is not None:
            self._session.check_identity(found.identity)
        elif self._session.pinned is not None:
            message = "an answer does not say which judge it is of, and one is pinned; is the URL right?"
            raise BadResponseError(message, code="bad_response")
        return found

    def _deadline(self, timeout: float | None) -> float:
        seconds = self._session.timeout_s if timeout is None else checked_seconds("timeout", timeout)
        return self._session.clock() + seconds

    async def _encoded(self, images: Sequence[ImageInput]) -> list[bytes]:
        """Encode images in threads: compression lets go of the interpreter."""
        if all(isinstance(image, bytes) for image in images):
            return [encode_image(image) for image in images]
        encode = partial(encode_image, as_format=self._image_format)
        if self._pool is None or self._pool[0] != os.getpid():
            self._pool = os.getpid(), ThreadPoolExecutor(min(8, os.cpu_count() or 1), thread_name_prefix="encode")
        pool, loop = self._pool[1], asyncio.get_running_loop()
        return list(await asyncio.gather(*(loop.run_in_executor(pool, encode, image) for image in images)))

    async def _encoded_edits(self, edited: Sequence[ImageInput]) -> list[bytes | Reward]:
        """Encode a group's edits; one that is no image is its own failure.

        Raises:
            InvalidImageError, OSError: None of them is an image: what is wrong is wrong with all.
        """
        edits = listed(edited)
        if not edits:
            raise RewardClientError("at least one edited image is needed", code="invalid_request", param="edited")
        found = await asyncio.gather(*(self._encoded([one]) for one in edits), return_exceptions=True)
        files: list[bytes | Reward] = []
        problems: list[InvalidImageError | OSError] = []
        for index, one in enumerate(found):
            if isinstance(one, InvalidImageError | OSError):
                problems.append(one)
                files.append(unsendable(one, index))
            elif isinstance(one, BaseException):
                raise one
            else:
                files += one
        if problems and len(problems) == len(files):
            raise problems[0]
        return files

    async def _take(self, steps: Steps[T]) -> T:
        """Take a call's steps."""
        reply: HttpResponse | NoResponse | None = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as done:
                result: T = done.value
                return result
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
                reply = None
            elif isinstance(step, Enter):
                reply = await self._entered(step)
            else:
                reply = await self._sent(step)

    async def _entered(self, step: Enter) -> NoResponse | None:
        """Wait for room."""
        try:
            async with asyncio.timeout(step.within_s):
                await self._here().gate.enter()
        except TimeoutError as error:
            return NoResponse("late", "too many requests were under way", error)
        return None

    async def _sent(self, step: Send) -> HttpResponse | NoResponse:
        """Send, and learn from what comes back how much room there is."""
        here, clock = self._here(), self._session.clock
        began = clock()
        reply: HttpResponse | NoResponse | None = None
        try:
            reply = await send(here.http, step)
        finally:
            if isinstance(reply, HttpResponse):
                if reply.status == 429:
                    self._limit.refused(began, clock())
                else:
                    self._limit.answered(here.gate.under_way)
            self._session.counters.sent(clock() - began)
            here.gate.leave()
        return reply

    def _here(self) -> _Here:
        """Connections of this event loop in this process; those of another are left to it."""
        loop = asyncio.get_running_loop()
        state = self._state
        if state is None or state.pid != os.getpid() or state.loop is not loop:
            http = http_client(self._headers, self._max_in_flight + 4, self._transport)
            state = self._state = _Here(loop, os.getpid(), http, Gate(self._limit))
        return state


def _aggregation(given: Aggregation | str | None) -> Aggregation | None:
    return None if given is None else Aggregation(given)


def _shown(reply: HttpResponse) -> str:
    return f"HTTP {reply.status}: {reply.body[:_SHOWN].decode(errors='replace')}"
