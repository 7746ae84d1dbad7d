"""Admission: who may wait for the engine, whose turn it is, and when to come back for those who may not.

Everything is counted in *work*: predicted tokens, decoded ones weighted (`work.py`). A request is let in or refused as
a whole, before its images are decoded; its edits then take turns at the engine one by one, by priority and fair share,
so that a caller who queues a thousand edits delays another by its share and not by a thousand edits.

Refused is who cannot be served in time: the queue has no room, or the wait estimated from the measured drain rate is
longer than the request's deadline or the limit. The status is 429, others are using the engine, and `Retry-After` says
when it should have room.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Literal, NoReturn, Protocol

from edit_rrm_service.callers import Caller, Priority
from edit_rrm_service.drain_rate import DrainRate
from edit_rrm_service.errors import ApiError
from edit_rrm_service.fair_queue import FairQueue

Reason = Literal["queue_full", "estimated_wait"]

_SHORTEST_RETRY_S = 1.0
_LONGEST_RETRY_S = 60.0
_JITTER = 0.5
"""Those refused together come back spread over half as long again as they were told to wait."""


class Observer(Protocol):
    """What admission tells the metrics."""

    def queue(self, priority: Priority, turns: int, work: float) -> None:
        """Turns waiting, and work let in and not begun, at one priority."""

    def turn(self, priority: Priority, waited_s: float) -> None:
        """A turn began after waiting this long."""

    def running(self, turns: int) -> None:
        """Turns under way."""

    def refused(self, reason: Reason, retry_after_s: float) -> None:
        """A request was refused."""


@dataclass(slots=True, eq=False)
class _Turn:
    caller: Caller
    work: int
    prompts: int
    came: float
    begun: bool = False
    granted: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Admission:
    """Holds requests and hands out turns at the engine. For one event loop."""

    def __init__(
        self,
        *,
        max_running: int,
        max_queued_work: int,
        max_wait_s: float,
        observer: Observer,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        """Start empty.

        Args:
            max_running: Prompts the engine works on at a time; what is beyond waits here, where it is still ordered.
            max_queued_work: Work let in and not begun that is held at most. A request larger than that is let in
                where nothing else waits, and a caller may always queue its fair share of it.
            max_wait_s: Longest estimated wait that is still worth queueing for.
            observer: Is told what happens.
            clock: Steady seconds.
            rng: Draws jitter.
        """
        self.max_running = max_running
        self._max_queued_work = max_queued_work
        self._max_wait_s = max_wait_s
        self._observer = observer
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._queue: FairQueue[_Turn] = FairQueue()
        self._rate = DrainRate()
        self._waiting: dict[tuple[Priority, str], int] = {}
        """Work let in and not begun, whether its turn is in the queue already or still to come."""
        self._weights: dict[str, float] = {}
        self._turns = dict.fromkeys(Priority, 0)
        self._running_work = 0
        self._running_prompts = 0
        self._running_turns = 0

    @property
    def queued_work(self) -> int:
        """Work let in and not begun."""
        return sum(self._waiting.values())

    @contextmanager
    def admitted(self, caller: Caller, work: int, *, remaining_s: float = math.inf) -> Iterator[Ticket]:
        """Let a request in, or refuse it.

        Args:
            caller: Whose it is.
            work: All of its work, predicted.
            remaining_s: Seconds until its deadline.

        Raises:
            ApiError: 429; there is no room, or it would not be done in time.
        """
        self.check(caller, work, remaining_s=remaining_s)
        self._weights[caller.name] = caller.weight
        ticket = Ticket(self, caller, work)
        try:
            yield ticket
        finally:
            ticket.close()

    def check(self, caller: Caller, work: int = 0, *, remaining_s: float = math.inf) -> None:
        """Return if a request would be let in. Cheap, so that one who will be refused need not send images first.

        Where nothing waits everybody is let in, whatever the deadline: some of its edits may be in time, or cached.

        Raises:
            ApiError: 429, with the time to come back.
        """
        queued = self.queued_work
        if not queued:
            return
        own = self._waiting.get((caller.priority, caller.name), 0)
        excess = min(queued + work - self._max_queued_work, own + work - self._share(caller) * self._max_queued_work)
        if excess > 0:
            turns = len(self._queue)
            self._refuse("queue_full", self._seconds(excess), f"{turns} edit{'s' * (turns != 1)} wait and no more may")
        wait_s, done_s = self.estimate_s(caller, work)
        if wait_s > self._max_wait_s:
            over = f"its turn would come in about {math.ceil(wait_s)} s and the limit is {self._max_wait_s:g} s"
            self._refuse("estimated_wait", wait_s - self._max_wait_s, over)
        if done_s > remaining_s:
            over = f"it would be done in about {math.ceil(done_s)} s and the deadline is sooner"
            self._refuse("estimated_wait", done_s - remaining_s, over)

    def estimate_s(self, caller: Caller, work: int) -> tuple[float, float]:
        """Seconds until a request that comes now should have its first turn, and until it should be done.

        Zeros where no drain rate has been measured.
        """
        rate = self._rate.per_second(self._clock())
        if rate is None:
            return 0.0, 0.0
        own, peers, before = 0, 0, 0
        for (priority, name), waiting in self._waiting.items():
            if priority < caller.priority:
                before += waiting
            elif priority == caller.priority:
                own, peers = (own + waiting, peers) if name == caller.name else (own, peers + waiting)
        # While this caller's work is being done, the others get at most what their weights are worth beside it.
        beside = (1.0 - self._share(caller)) / self._share(caller)
        wait, done = (before + mine + min(peers, mine * beside) for mine in (own, own + work))
        return wait / rate, (done + self._running_work) / rate

    def retry_after(self, seconds: float | None = None) -> str:
        """`Retry-After` (RFC 9110, whole seconds, 1 to 90) for a wait, or until all that is let in should be done."""
        if seconds is None:
            seconds = self._seconds(self.queued_work + self._running_work)
        base = min(_LONGEST_RETRY_S, max(_SHORTEST_RETRY_S, seconds))
        return str(math.floor(base * (1.0 + self._rng.uniform(0.0, _JITTER)) + self._rng.random()))

    def _refuse(self, reason: Reason, seconds: float, why: str) -> NoReturn:
        retry_after = self.retry_after(seconds)
        self._observer.refused(reason, float(retry_after))
        headers = {"Retry-After": retry_after}
        raise ApiError(429, "overloaded", f"{why}; retry in {retry_after} s", retryable=True, headers=headers)

    def _seconds(self, work: float) -> float:
        rate = self._rate.per_second(self._clock())
        return _SHORTEST_RETRY_S if rate is None else work / rate

    def _share(self, caller: Caller) -> float:
        """The caller's part of the engine among those who wait at its priority, itself included."""
        names = {name for priority, name in self._waiting if priority == caller.priority} - {caller.name}
        return caller.weight / (caller.weight + sum(self._weights[name] for name in names))

    def _wait(self, caller: Caller, work: int) -> None:
        """Change what waits of a caller, by a negative number too."""
        key = (caller.priority, caller.name)
        left = self._waiting.get(key, 0) + work
        if left:
            self._waiting[key] = left
        else:
            self._waiting.pop(key, None)
        self._tell(caller.priority)

    def _tell(self, priority: Priority) -> None:
        work = sum(waiting for (band, _), waiting in self._waiting.items() if band is priority)
        self._observer.queue(priority, self._turns[priority], work)

    @asynccontextmanager
    async def _turn(self, caller: Caller, work: int, prompts: int) -> AsyncIterator[None]:
        """Wait for a turn whose work is among what waits, and hold it."""
        turn = _Turn(caller, work, prompts, self._clock())
        self._turns[caller.priority] += 1
        self._tell(caller.priority)
        entry = self._queue.push(turn, flow=caller.name, cost=work, weight=caller.weight, priority=caller.priority)
        self._dispatch()
        try:
            await turn.granted
        except asyncio.CancelledError:
            if turn.begun:  # granted and cancelled at once
                self._end(turn, done=False)
            else:
                self._queue.remove(entry)
                self._turns[caller.priority] -= 1
                self._wait(caller, -work)
            self._dispatch()
            raise
        done = False
        try:
            yield
            done = True
        finally:
            self._end(turn, done=done)
            self._dispatch()

    def _dispatch(self) -> None:
        """Hand out turns while the engine has room."""
        while (entry := self._queue.peek()) is not None:
            turn = entry.item
            if turn.granted.cancelled():  # on its way out
                self._queue.remove(entry)
                continue
            if self._running_prompts and self._running_prompts + turn.prompts > self.max_running:
                break
            self._queue.pop()
            self._begin(turn)
        self._rate.saturated(self._clock(), len(self._queue) > 0)

    def _begin(self, turn: _Turn) -> None:
        turn.begun = True
        self._turns[turn.caller.priority] -= 1
        self._wait(turn.caller, -turn.work)
        self._running_work += turn.work
        self._running_prompts += turn.prompts
        self._running_turns += 1
        self._observer.running(self._running_turns)
        self._observer.turn(turn.caller.priority, self._clock() - turn.came)
        turn.granted.set_result(None)

    def _end(self, turn: _Turn, *, done: bool) -> None:
        self._running_work -= turn.work
        self._running_prompts -= turn.prompts
        self._running_turns -= 1
        self._observer.running(self._running_turns)
        if done:
            self._rate.finished(self._clock(), turn.work)


class Ticket:
    """A request that was let in: the work it may still begin."""

    def __init__(self, admission: Admission, caller: Caller, work: int) -> None:
        self._admission = admission
        self.caller = caller
        self._left = work
        admission._wait(caller, work)

    @asynccontextmanager
    async def turn(self, work: int, prompts: int = 1) -> AsyncIterator[None]:
        """Wait for a turn at the engine and hold it; being cancelled gives it up, waiting or held.

        May outlive the request that was let in, where others wait for the same work.

        Args:
            work: Of this turn, at least 1. What goes beyond the request's prediction is added to the queue.
            prompts: How many prompts the engine gets at once.
        """
        known = min(work, self._left)
        self._left -= known
        self._admission._wait(self.caller, work - known)
        async with self._admission._turn(self.caller, work, prompts):
            yield

    def close(self) -> None:
        """Give back what was predicted and not needed."""
        left, self._left = self._left, 0
        self._admission._wait(self.caller, -left)
