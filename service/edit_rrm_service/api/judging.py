"""What the judging endpoints share: reading and letting in a request, decoding its images, and asking the judge."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeVar

from starlette.requests import Request

from edit_rrm.card import JudgeCard
from edit_rrm.principles import Principle
from edit_rrm.verdicts import ErrorDetail, Mode, Outcome, Reward
from edit_rrm.wire import DecomposeRequest, DecomposeResponse, RewardRequest
from edit_rrm_service.admission import Ticket
from edit_rrm_service.api.bodies import Asked, Body, ModelT, read_body
from edit_rrm_service.api.calls import (
    caller_of,
    deadline_of,
    edited_image,
    expect_identity,
    key_of,
    options_of,
    remembers,
    request_id_of,
    source_image,
)
from edit_rrm_service.callers import Caller, Priority
from edit_rrm_service.engines.base import EngineImage
from edit_rrm_service.errors import OUTCOME_STATUS, ApiError, UnscoredError
from edit_rrm_service.images import image_pixels
from edit_rrm_service.judge import Call, GroupResult
from edit_rrm_service.state import ServiceState
from edit_rrm_service.work import Work

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """A request that may be read: until when it is worth an answer, and whose it is."""

    deadline: float
    """Event-loop time."""
    caller: Caller


def entered(request: Request, state: ServiceState, usual: Priority) -> Entry:
    """Let a request in to be read; what it asks for is admitted later.

    Raises:
        ApiError: 503 where there is no judge, 409 where it is another than expected and 429 where there is no room.
    """
    with _counted(state, key_of(request), 1):
        state.lifecycle.require_ready()
        expect_identity(request, state)
        deadline = deadline_of(request, state)
        caller = caller_of(request, usual)
        state.admission.check(caller, remaining_s=_remaining(deadline))
    return Entry(deadline, caller)


async def in_time(entry: Entry, reading: Awaitable[T]) -> T:
    """Read a body, which counts against the deadline.

    Raises:
        ApiError: 504 where the body took too long, and what the reading raises.
    """
    try:
        async with asyncio.timeout_at(entry.deadline):
            return await reading
    except TimeoutError:
        message = "the deadline passed before the body had arrived; allow more time, or send smaller images"
        raise ApiError(504, Outcome.TIMED_OUT.value, message, retryable=True) from None


async def received(
    request: Request,
    state: ServiceState,
    model: type[ModelT],
    *,
    max_edits: int,
    edits: bool = True,
    usual: Priority = Priority.INTERACTIVE,
) -> Asked[ModelT]:
    """Read a request of v1.

    Raises:
        ApiError: What `entered`, `in_time` and `read_body` raise.
    """
    entry = entered(request, state, usual)
    most = state.settings.max_image_bytes
    reading = read_body(request, model, max_image_bytes=most, max_edits=max_edits, edits=edits)
    return Asked(await in_time(entry, reading), entry.deadline, entry.caller)


async def decomposed(state: ServiceState, asked: Asked[DecomposeRequest], request_id: str) -> DecomposeResponse:
    """Find an instruction's principles.

    Raises:
        ApiError: There is no room, the source is no image, or the judge found none.
    """
    judge = state.judge
    started = time.perf_counter()
    instruction = asked.body.request.instruction
    work = max(1, _predicted(state, instruction, None, Mode.THINK).decompose)
    with _admitted(state, asked.caller, work, asked.deadline) as ticket:
        source = await source_image(state, state.judge_card, asked.body.source)
        try:
            found = await judge.decompose(instruction, source, asked.deadline, ticket, work)
        except UnscoredError as error:
            status = OUTCOME_STATUS[error.outcome]
            raise ApiError(status, error.code, error.message, retryable=error.retryable) from None
    state.metrics.tokens(found.usage)
    return DecomposeResponse(
        principles=found.principles,
        request_id=request_id,
        identity=state.identity.identity,
        usage=found.usage,
        timing_ms={"total": (time.perf_counter() - started) * 1e3},
    )


async def judged_one(request: Request, state: ServiceState, asked: Asked[RewardRequest]) -> Reward:
    """Judge a request's only edit.

    Raises:
        ApiError: It was not scored; the status says how it ended.
    """
    group = await judged(request, state, asked)
    result = group.rewards[0]
    if result.outcome is not Outcome.SCORED:
        assert result.error is not None
        param = "edited" if result.outcome is Outcome.BAD_IMAGE else result.error.param
        raise ApiError(
            OUTCOME_STATUS[result.outcome],
            result.error.code,
            result.error.message,
            param=param,
            retryable=result.error.retryable,
        )
    return result.model_copy(update={"usage": group.usage, "timing_ms": {**result.timing_ms, **group.timing_ms}})


async def judged(request: Request, state: ServiceState, asked: Asked[RewardRequest]) -> GroupResult:
    """Judge all edits of a request.

    Raises:
        ApiError: There is no room, the source is no image, or the request's wishes contradict each other.
    """
    judge, card, body = state.judge, state.judge_card, asked.body
    wishes, request_id = body.request, request_id_of(request)
    options = options_of(wishes, card, supports_probe=state.supports_probe, remember=remembers(request))
    work = _predicted(state, wishes.instruction, wishes.principles, options.mode, options.samples, body.source)
    edits = len(body.edited)
    with _admitted(state, asked.caller, work.total(edits), asked.deadline, edits) as ticket:
        started = time.perf_counter()
        state.metrics.group(edits)
        with state.tracer.span("decode", {"images": edits + 1}):
            source, images = await _images(state, card, body, request_id)
        decoded = time.perf_counter() - started
        state.metrics.stage("decode", decoded)
        call = Call(
            instruction=wishes.instruction,
            source=source,
            options=options,
            principles=wishes.principles,
            request_id=request_id,
            identity=state.identity.identity,
            deadline=asked.deadline,
            ticket=ticket,
            work=work,
        )
        group = await judge.rewards(call, images)
    state.metrics.tokens(group.usage)
    group.timing_ms["decode"] = decoded * 1e3
    return group


async def _images(
    state: ServiceState, card: JudgeCard, body: Body[RewardRequest], request_id: str
) -> tuple[EngineImage, list[EngineImage | ErrorDetail]]:
    """A request's images, decoded on all cores; the source is begun first, for without it nothing can be judged."""
    edits = [
        asyncio.ensure_future(edited_image(state, card, data, f"edited[{index}]", request_id))
        for index, data in enumerate(body.edited)
    ]
    try:
        source = await source_image(state, card, body.source)
        return source, await asyncio.gather(*edits)
    finally:
        for edit in edits:
            edit.cancel()


def _predicted(
    state: ServiceState,
    instruction: str,
    principles: Sequence[Principle] | None,
    mode: Mode,
    samples: int = 1,
    source: bytes | None = None,
) -> Work:
    assert state.work is not None, "a service that is ready predicts work"
    questions = None if principles is None else [principle.question for principle in principles]
    pixels = None if source is None else image_pixels(source)
    return state.work.predict(instruction, questions, mode, samples=samples, pixels=pixels)


@contextmanager
def _admitted(state: ServiceState, caller: Caller, work: int, deadline: float, edits: int = 1) -> Iterator[Ticket]:
    """Let a request in."""
    with ExitStack() as stack:
        with _counted(state, caller, edits):
            remaining = _remaining(deadline)
            ticket = stack.enter_context(state.admission.admitted(caller, work, remaining_s=remaining))
        yield ticket


@contextmanager
def _counted(state: ServiceState, caller: Caller, edits: int) -> Iterator[None]:
    """Edits that are refused have an outcome too. How many they are is not known before the body: one at least."""
    try:
        yield
    except ApiError as error:
        if error.code == Outcome.OVERLOADED:
            state.metrics.outcome(caller.name, Outcome.OVERLOADED, edits)
        elif error.code == "draining":
            state.metrics.refused("draining", float(error.headers["Retry-After"]))
        raise


def _remaining(deadline: float) -> float:
    return deadline - asyncio.get_running_loop().time()
