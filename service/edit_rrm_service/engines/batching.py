"""One worker thread that takes queued jobs in micro-batches: a model runs alone, and no event loop waits for it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from edit_rrm_service.engines.base import EngineDeadError, EngineError

JobT = TypeVar("JobT")
ResultT = TypeVar("ResultT")

_logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Ticket(Generic[JobT, ResultT]):
    """A job in the queue. Cancelling its future takes it out, or tells whoever runs it to stop."""

    job: JobT
    kind: Hashable
    stop: threading.Event = field(default_factory=threading.Event)
    """Set when the worker is to end."""
    future: Future[ResultT] = field(default_factory=Future)

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for this job any more, or its worker is to end."""
        return self.future.cancelled() or self.stop.is_set()

    def resolve(self, result: ResultT | Exception) -> None:
        """Hand over a result or an exception, unless the job was cancelled meanwhile."""
        if not self.future.set_running_or_notify_cancel():
            return
        if isinstance(result, Exception):
            self.future.set_exception(result)
        else:
            self.future.set_result(result)


class MicroBatcher(Generic[JobT, ResultT]):
    """Runs jobs of one kind together, oldest first.

    `run` gets at most `max_batch` tickets of one kind and returns their results in order, an exception where one job
    failed. If it raises, its tickets are run one by one, so that one bad job costs only itself.
    """

    def __init__(
        self, run: Callable[[Sequence[Ticket[JobT, ResultT]]], Sequence[ResultT | Exception]], max_batch: int
    ) -> None:
        self._run = run
        self._max_batch = max_batch
        self._queue: deque[Ticket[JobT, ResultT]] = deque()
        self._wake = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the worker is there to take jobs."""
        return self._thread.is_alive() and not self._stop.is_set()

    def submit(self, jobs: Sequence[JobT], kind: Hashable) -> list[Ticket[JobT, ResultT]]:
        """Queue jobs next to each other.

        Raises:
            EngineDeadError: The worker is gone.
        """
        tickets = [Ticket[JobT, ResultT](job, kind, self._stop) for job in jobs]
        with self._wake:
            if not self.alive:
                raise EngineDeadError("the engine is not running")
            self._queue.extend(tickets)
            self._wake.notify()
        return tickets

    def close(self) -> None:
        """Fail what is queued and what is running; runners that look at `cancelled` make that short."""
        with self._wake:
            self._stop.set()
            waiting = list(self._queue)
            self._queue.clear()
            self._wake.notify()
        for ticket in waiting:
            ticket.resolve(EngineDeadError("the engine was stopped"))
        self._thread.join()

    def _work(self) -> None:
        while batch := self._take():
            results = self._attempt(batch)
            if self._stop.is_set():  # a row that was told to stop holds half an answer
                results = [EngineDeadError("the engine was stopped") for _ in batch]
            for ticket, result in zip(batch, results, strict=True):
                ticket.resolve(result)

    def _take(self) -> list[Ticket[JobT, ResultT]]:
        """Wait for work; return the oldest job and those of its kind behind it, or nothing when closed."""
        with self._wake:
            while True:
                self._wake.wait_for(lambda: self._queue or self._stop.is_set())
                if self._stop.is_set():
                    return []
                live = [ticket for ticket in self._queue if not ticket.cancelled]
                batch = [ticket for ticket in live if ticket.kind == live[0].kind][: self._max_batch]
                taken = set(map(id, batch))
                self._queue = deque(ticket for ticket in live if id(ticket) not in taken)
                if batch:
                    return batch

    def _attempt(self, batch: Sequence[Ticket[JobT, ResultT]]) -> Sequence[ResultT | Exception]:
        try:
            return self._run(batch)
        except Exception as error:  # the worker must outlive whatever a model or an image throws
            if len(batch) > 1:
                return [self._attempt([ticket])[0] for ticket in batch]
            if isinstance(error, EngineError):
                return [error]
            _logger.exception("a prompt failed")
            return [EngineError(f"the model failed on this prompt: {type(error).__name__}: {error}")]
