"""One call to the service, tries and waits included, as steps that a shell takes: no I/O here.

A call is a generator: it yields `Enter` and then `Send`, and is told what came back, or yields `Pause`.
`async_client.py` takes these steps; tests take them without a network, and without waiting.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Literal, TypeVar

from pydantic import BaseModel

from edit_rrm_client.errors import (
    BadResponseError,
    ConnectionFailedError,
    DeadlineError,
    IdentityChangedError,
    RewardClientError,
)
from edit_rrm_client.protocol import HttpRequest, HttpResponse, parse_response
from edit_rrm_client.retry import RetryPolicy
from edit_rrm_client.servers import Servers
from edit_rrm_client.stats import Counters

T = TypeVar("T")
ModelT = TypeVar("ModelT", bound=BaseModel)

_UNFIT = 503
"""The status of a server that others may stand in for: draining, or with a judge that cannot work just now."""

ADVICE = "is the service running there? `edit-rrm serve` starts one"


@dataclass(frozen=True, slots=True)
class Enter:
    """Wait, at most so long, until one more request may be under way; a `Send` follows, and ends its turn.

    Answered by None; or by `NoResponse`, where there was no room in time.
    """

    within_s: float


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request to a server, and say what came back within some seconds."""

    url: str
    request: HttpRequest
    headers: Mapping[str, str]
    within_s: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait."""

    seconds: float


@dataclass(slots=True)
class Tally:
    """Tries so far, of all requests of a call."""

    attempts: int = 0


@dataclass(frozen=True, slots=True)
class NoResponse:
    """Nothing came back that can be read."""

    kind: Literal["connect", "broken", "late", "unreadable"]
    reason: str
    error: Exception | None = None


Steps = Generator[Enter | Send | Pause, HttpResponse | NoResponse | None, T]


@dataclass
class Session:
    """What the calls of one client share. Cheap to lock: nothing waits while holding it."""

    servers: Servers
    retry: RetryPolicy
    timeout_s: float
    """Of a call, where it does not say its own."""
    attempt_timeout_s: float
    pinned: str | None = None
    """The identity that judges have to have."""
    pin_first: bool = False
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    rng: random.Random = field(default_factory=random.SystemRandom)
    """Draws jitter; the system's, so that the children of a fork do not all draw the same."""
    counters: Counters = field(default_factory=Counters)
    met: set[str] = field(default_factory=set)
    """Servers that have answered at least once."""
    lock: Lock = field(default_factory=Lock)

    def check_identity(self, identity: str) -> None:
        """Hold an answer to the pinned identity, or pin it where the first one is to be.

        Raises:
            IdentityChangedError: It is another judge's.
        """
        with self.lock:
            if self.pinned is None and self.pin_first:
                self.pinned = identity
            pinned = self.pinned
        if pinned is not None and identity != pinned:
            raise IdentityChangedError(
                f"{identity} is judging and {pinned} is pinned: their scores do not compare. Start a new run with the "
                "new judge, or serve the old one",
                code="identity_mismatch",
            )


def exchange(
    session: Session,
    model: type[ModelT],
    request: HttpRequest,
    *,
    deadline: float,
    group: str = "",
    headers: Mapping[str, str] | None = None,
    tally: Tally | None = None,
) -> Steps[ModelT]:
    """Send a request until it is answered for good.

    Args:
        session: The client's.
        model: What is expected of a good answer.
        request: What to send.
        deadline: By the session's clock, of all tries and pauses.
        group: Names the group, for the server that has its prefix.
        headers: To send every time.
        tally: Counts tries.

    Raises:
        RewardClientError: What the last try ended in; `DeadlineError` where there was no time for another.
    """
    began = session.clock()
    attempts = 0
    tried: set[str] = set()
    while True:
        # A turn is waited for before anything is decided: what is left of the time is known only then.
        refused = yield Enter(max(0.001, deadline - session.clock()))
        if isinstance(refused, NoResponse):
            raise _no_room(session, attempts, deadline, began)
        with session.lock:
            url = session.servers.pick(group, session.clock(), tried)
            pinned = session.pinned
        left = deadline - session.clock()
        within = max(0.001, min(left, session.attempt_timeout_s))
        sent = {**(headers or {}), "x-deadline-ms": str(max(1, int(within * 1e3)))}
        if pinned is not None:
            sent["x-expect-identity"] = pinned
        attempts += 1
        if tally is not None:
            tally.attempts += 1
        response = yield Send(url, request, sent, within)
        assert response is not None, "a shell answers what it was asked to send"
        stalled = isinstance(response, NoResponse) and response.kind == "late" and within < left
        try:
            result = _read(session, model, url, response, within, stalled=stalled)
        except RewardClientError as error:
            failure = error
        else:
            return result
        failure.attempts, failure.elapsed = attempts, session.clock() - began
        away = isinstance(response, NoResponse) and response.kind == "connect"
        unfit = isinstance(response, HttpResponse) and response.status == _UNFIT
        if away or stalled or unfit:
            tried.add(url)
        another = url in tried and len(tried) < len(session.servers.urls)
        with session.lock:
            stranger = away and not session.met and not another
            pause = session.retry.pause_s(failure, attempts, session.rng, stranger=stranger)
        if pause is None:
            raise failure
        if another:
            pause = 0.0  # there is somebody else to ask
        left = deadline - session.clock()
        if pause >= left:
            raise _too_late(session, failure, url, deadline - began)
        session.counters.retried(failure.code)
        if len(tried) == len(session.servers.urls):
            tried.clear()
        yield Pause(pause)


def _no_room(session: Session, attempts: int, deadline: float, began: float) -> RewardClientError:
    return DeadlineError(
        f"there was no room for one more request within {deadline - began:.3g} s; allow more time with "
        "timeout=SECONDS, or more requests with max_in_flight",
        code="no_room_in_time",
        retryable=True,
        attempts=attempts,
        elapsed=session.clock() - began,
    )


def _read(
    session: Session,
    model: type[ModelT],
    url: str,
    response: HttpResponse | NoResponse,
    within: float,
    *,
    stalled: bool,
) -> ModelT:
    """What a try ended in."""
    if isinstance(response, NoResponse):
        with session.lock:
            if response.kind != "late" or stalled:
                session.servers.missed(url, session.clock())
        raise _no_response(url, response, within) from response.error
    with session.lock:
        session.servers.reached(url)
        session.met.add(url)
    return parse_response(model, response, session.now())


def _no_response(url: str, response: NoResponse, within: float) -> RewardClientError:
    if response.kind == "unreadable":
        message = f"{url} sent what cannot be read ({response.reason}); is the URL right?"
        return BadResponseError(message, code="bad_response")
    if response.kind == "late":
        message = f"{url} did not answer within {within:g} s"
        return ConnectionFailedError(message, code="no_answer_in_time", retryable=True)
    message = f"{url} did not answer ({response.reason}); {ADVICE}"
    return ConnectionFailedError(message, code="connection_failed", retryable=True)


def _too_late(session: Session, failure: RewardClientError, url: str, timeout: float) -> DeadlineError:
    error = DeadlineError(
        f"no final answer from {url} within {timeout:.3g} s, in {failure.attempts} "
        f"{'try' if failure.attempts == 1 else 'tries'}; allow more with timeout=SECONDS. The last one: {failure}",
        code=failure.code,
        status=failure.status,
        param=failure.param,
        request_id=failure.request_id,
        retryable=True,
        retry_after=failure.retry_after,
        attempts=failure.attempts,
        elapsed=failure.elapsed,
    )
    error.__cause__ = failure
    return error
