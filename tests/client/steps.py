"""Takes a call's steps without a network and without waiting: what is sent is answered by a script, on a stopwatch."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from edit_rrm.principles import Category, Principle
from edit_rrm.verdicts import Aggregation, ErrorDetail, Mode, Outcome, Reward
from edit_rrm.wire import ErrorBody, RewardsResponse
from edit_rrm_client.call import Enter, NoResponse, Pause, Send, Session, Steps
from edit_rrm_client.protocol import HttpResponse
from edit_rrm_client.retry import RetryPolicy
from edit_rrm_client.servers import Servers

T = TypeVar("T")
IDENTITY = "a" * 64
OTHER = "b" * 64
PRINCIPLES = (Principle(question="Is it blue?", category=Category.INSTRUCTION_FOLLOWING),)
REFUSED = NoResponse("connect", "refused", ConnectionRefusedError())
BROKEN = NoResponse("broken", "reset")

Script = Callable[[Send], HttpResponse | NoResponse]


@dataclass
class Wire:
    """A session whose requests are answered by a script, and what was sent."""

    script: Script
    urls: Sequence[str] = ("http://one",)
    timeout_s: float = 60.0
    attempt_timeout_s: float = 60.0
    max_attempts: int | None = None
    expect: str | None = None
    seconds: float = 0.1
    """That every answer takes."""
    waits: float = 0.0
    """Seconds until there is room for a request."""
    full: bool = False
    """Whether there never is."""
    now: float = 100.0
    sent: list[Send] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        first = self.expect == "first"
        self.session = Session(
            servers=Servers(self.urls),
            retry=RetryPolicy(max_attempts=self.max_attempts),
            timeout_s=self.timeout_s,
            attempt_timeout_s=self.attempt_timeout_s,
            pinned=None if first else self.expect,
            pin_first=first,
            clock=lambda: self.now,
            now=lambda: 1_700_000_000.0,
            rng=random.Random(0),
        )

    @property
    def deadline(self) -> float:
        return self.now + self.timeout_s

    def take(self, steps: Steps[T]) -> T:
        """Take all steps."""
        reply: HttpResponse | NoResponse | None = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as done:
                result: T = done.value
                return result
            if isinstance(step, Pause):
                assert step.seconds >= 0.0
                self.pauses.append(step.seconds)
                self.now += step.seconds
                reply = None
                continue
            if isinstance(step, Enter):
                reply = NoResponse("late", "no room") if self.full else None
                self.now += step.within_s if self.full else self.waits
                continue
            self.sent.append(step)
            reply = self.script(step)
            late = isinstance(reply, NoResponse) and reply.kind == "late"
            self.now += step.within_s if late else min(self.seconds, step.within_s)


def in_turn(*answers: HttpResponse | NoResponse) -> Script:
    """These, in order; the last again and again."""
    left = list(answers)
    return lambda step: left.pop(0) if len(left) > 1 else left[0]


def scored(score: float, **fields: Any) -> Reward:
    return Reward(
        outcome=Outcome.SCORED,
        score=score,
        reward=score / 10,
        average=1.0,
        aggregation=Aggregation.MODEL,
        mode=Mode.THINK,
        **fields,
    )


def unscored(outcome: Outcome, *, retryable: bool = False, param: str | None = None) -> Reward:
    return Reward(
        outcome=outcome, error=ErrorDetail(code=outcome.value, message="no", retryable=retryable, param=param)
    )


def judged(*results: Reward, identity: str = IDENTITY) -> HttpResponse:
    """A group's answer."""
    reply = RewardsResponse(results=results, principles=PRINCIPLES, request_id="r", identity=identity)
    return HttpResponse(200, reply.model_dump_json().encode())


def failed(status: int, code: str, *, retryable: bool = False, **headers: str) -> HttpResponse:
    """An error of the service."""
    detail = ErrorDetail(code=code, message="no", request_id="r", retryable=retryable)
    return HttpResponse(status, ErrorBody(error=detail).model_dump_json().encode(), headers)


def edits_of(step: Send) -> list[bytes]:
    """Edited images of a request."""
    return [content for name, (_, content, _) in step.request.parts if name == "edited"]


def fields_of(step: Send) -> dict[str, Any]:
    """JSON part of a request."""
    fields: dict[str, Any] = json.loads(step.request.parts[0][1][1])
    return fields
