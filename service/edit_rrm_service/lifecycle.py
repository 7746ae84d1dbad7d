"""The service's life, from loading its judge to its last answer: what is ready, what is refused, who still waits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum

from edit_rrm_service.errors import ApiError

_logger = logging.getLogger(__name__)


class Phase(StrEnum):
    """Where the service is in its life."""

    STARTING = "starting"
    READY = "ready"
    UNFIT = "unfit"
    """The judge is there and is not to be trusted, or cannot work now; `reason` says which. Comes and goes."""
    DRAINING = "draining"
    """Asked to stop: unready, so that no more is sent, and still answering what is."""
    STOPPING = "stopping"
    """Refusing what comes, finishing what is under way."""
    FAILED = "failed"
    """The judge could not be loaded."""
    DEAD = "dead"
    """The engine is gone for good; the process should be replaced."""


_OVER = (Phase.DRAINING, Phase.STOPPING, Phase.FAILED, Phase.DEAD)
_RETRY_S = "5"


class Lifecycle:
    """Phase, reason, and the requests under way. For one event loop."""

    def __init__(self, on_phase: Callable[[Phase], None] = lambda phase: None) -> None:
        """Begin in `starting`; `on_phase` is told of that, and of every phase that is entered later."""
        self.phase = Phase.STARTING
        self.reason: str | None = None
        self._on_phase = on_phase
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.over = asyncio.Event()
        """Set once nothing is waited for any more: what would stay open (a page's event streams) is to end."""
        on_phase(self.phase)

    @property
    def started(self) -> bool:
        """Whether the judge has been loaded."""
        return self.phase not in (Phase.STARTING, Phase.FAILED)

    @property
    def leaving(self) -> bool:
        """Whether connections are better closed after their next answer."""
        return self.phase in (Phase.DRAINING, Phase.STOPPING)

    @property
    def under_way(self) -> int:
        """Requests that have not been answered."""
        return self._under_way

    def ready(self) -> None:
        """The judge is loaded, or fit again."""
        if self.phase not in _OVER:
            self._enter(Phase.READY, None)

    def unfit(self, reason: str) -> None:
        """The judge is loaded and not to be used for now."""
        if self.phase not in _OVER:
            self._enter(Phase.UNFIT, reason)

    def failed(self, reason: str) -> None:
        """The judge could not be loaded."""
        self._enter(Phase.FAILED, reason)

    def dead(self, reason: str) -> None:
        """The engine is gone for good."""
        self._enter(Phase.DEAD, reason)

    def drain(self) -> None:
        """Become unready and go on answering."""
        if self.phase not in _OVER:
            self._enter(Phase.DRAINING, "the service was asked to stop")

    def stop(self) -> None:
        """Refuse what comes from now on."""
        self._enter(Phase.STOPPING, "the service is stopping")

    def require_judge(self) -> None:
        """Return if a request that was let in may be judged: also once the service refuses what comes.

        Raises:
            ApiError: 503 where it may not.
        """
        if self.phase is not Phase.STOPPING:
            self.require_ready()

    def require_ready(self) -> None:
        """Return if the service takes work.

        Raises:
            ApiError: 503 where it does not.
        """
        if self.phase in (Phase.READY, Phase.DRAINING):
            return
        if self.phase is Phase.FAILED:
            raise ApiError(503, "not_ready", f"the judge could not be loaded: {self.reason}")
        code = "draining" if self.phase is Phase.STOPPING else "not_ready"
        message = self.reason or "the judge is still loading; see /readyz"
        raise ApiError(503, code, message, retryable=True, headers={"Retry-After": _RETRY_S})

    @contextmanager
    def request(self) -> Iterator[None]:
        """Count a request while it is under way."""
        self._under_way += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    async def wait_idle(self, seconds: float) -> bool:
        """Wait until nothing is under way; False if something still is after these seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def _enter(self, phase: Phase, reason: str | None) -> None:
        if (self.phase, self.reason) == (phase, reason):
            return
        _logger.info("%s%s", phase.value, f": {reason}" if reason else "")
        self.phase, self.reason = phase, reason
        self._on_phase(phase)
