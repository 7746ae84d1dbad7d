"""The routes of v1. Each reads a body, asks the judge, and maps outcomes to HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from edit_rrm.card import JudgeCard
from edit_rrm.principles import Principle
from edit_rrm.verdicts import Mode, Outcome, Reward
from edit_rrm.wire import (
    DecomposeJson,
    DecomposeRequest,
    DecomposeResponse,
    ErrorBody,
    Identity,
    RewardJson,
    RewardRequest,
    RewardsJson,
    RewardsResponse,
    VerifyJson,
    VerifyRequest,
    VerifyResponse,
)
from edit_rrm_service.admission import Ticket
from edit_rrm_service.api.bodies import Body, ModelT, body_schema, read_body
from edit_rrm_service.api.calls import (
    caller_of,
    deadline_of,
    edited_image,
    options_of,
    remembers,
    source_image,
    until_disconnect,
)
from edit_rrm_service.callers import Caller, Priority
from edit_rrm_service.engines.base import EngineDeadError
from edit_rrm_service.errors import OUTCOME_STATUS, ApiError, UnscoredError
from edit_rrm_service.images import image_pixels
from edit_rrm_service.judge import Call, GroupResult
from edit_rrm_service.metrics import CONTENT_TYPE
from edit_rrm_service.state import Phase, ServiceState
from edit_rrm_service.work import Work

T = TypeVar("T")

router = APIRouter()

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody} for status in (400, 401, 413, 415, 422, 429, 502, 503, 504)
}


@router.post(
    "/v1/decompose",
    response_model=DecomposeResponse,
    responses=_ERRORS,
    openapi_extra=body_schema(DecomposeRequest, DecomposeJson, edits=None),
    summary="Break an instruction into principles",
)
async def decompose(request: Request) -> DecomposeResponse:
    """Principles: yes/no questions in three categories that an edit has to meet."""
    state = _state(request)
    body, deadline, caller = await _received(request, DecomposeRequest, max_edits=0, edits=False)
    judge, card = state.judge, _card(state)
    started = time.perf_counter()
    work = max(1, _predicted(state, body.request.instruction, None, Mode.THINK).decompose)
    with _admitted(state, caller, work, deadline) as ticket:
        source = await source_image(state, card, body.source)
        finding = judge.decompose(body.request.instruction, source, deadline, ticket, work)
        result = await until_disconnect(request, _single(finding))
    state.metrics.tokens(result.usage)
    return DecomposeResponse(
        principles=result.principles,
        request_id=_request_id(request),
        identity=state.identity.identity,
        usage=result.usage,
        timing_ms={"total": (time.perf_counter() - started) * 1e3},
    )


@router.post(
    "/v1/verify",
    response_model=VerifyResponse,
    responses=_ERRORS,
    openapi_extra=body_schema(VerifyRequest, VerifyJson, edits="one"),
    summary="Check given principles on an edit",
)
async def verify(request: Request) -> VerifyResponse:
    """Verdicts and reasoning for the principles you send; no score."""
    state = _state(request)
    body, deadline, caller = await _received(request, VerifyRequest, max_edits=1)
    asked = RewardRequest(**body.request.model_dump())
    reward, _ = await _judge_one(request, state, Body(asked, body.source, body.edited), deadline, caller)
    return VerifyResponse(
        verdicts=reward.verdicts,
        reasoning=reward.reasoning,
        mode=asked.mode,
        request_id=_request_id(request),
        identity=state.identity.identity,
        usage=reward.usage,
        timing_ms=reward.timing_ms,
    )


@router.post(
    "/v1/reward",
    response_model=Reward,
    responses=_ERRORS,
    openapi_extra=body_schema(RewardRequest, RewardJson, edits="one"),
    summary="Judge one edit",
)
async def reward(request: Request) -> Reward:
    """Score, reward, verdicts and reasoning for one edit; anything but a measured score is an error status."""
    state = _state(request)
    body, deadline, caller = await _received(request, RewardRequest, max_edits=1)
    result, group = await _judge_one(request, state, body, deadline, caller)
    return result.model_copy(update={"usage": group.usage, "timing_ms": {**result.timing_ms, **group.timing_ms}})


@router.post(
    "/v1/rewards",
    response_model=RewardsResponse,
    responses=_ERRORS,
    openapi_extra=body_schema(RewardRequest, RewardsJson, edits="many"),
    summary="Judge a group of edits of one source",
)
async def rewards(request: Request) -> RewardsResponse:
    """One result per edit, in order, each with its own outcome; the instruction is decomposed once."""
    state = _state(request)
    body, deadline, caller = await _received(
        request, RewardRequest, max_edits=state.settings.max_edits, usual=Priority.TRAINING
    )
    group = await _judge(request, state, body, deadline, caller)
    return RewardsResponse(
        results=group.rewards,
        principles=group.principles,
        request_id=_request_id(request),
        identity=state.identity.identity,
        usage=group.usage,
        timing_ms=group.timing_ms,
    )


@router.get("/v1/identity", response_model=Identity, responses=_ERRORS, summary="What exactly is judging")
async def identity(request: Request) -> Identity:
    """Weights, prompts, preprocessing and sampling, and the hash over them that every response carries."""
    return _state(request).identity


@router.get("/livez", summary="Is the process alive?")
async def livez(request: Request) -> Response:
    """200 unless the engine has died: then the process should be replaced."""
    try:
        await _state(request).check_alive()
    except EngineDeadError as error:
        return JSONResponse({"status": "dead", "reason": str(error)}, 503)
    return JSONResponse({"status": "alive"})


@router.get("/startupz", summary="Has the judge been loaded?")
async def startupz(request: Request) -> Response:
    """200 once the judge has been loaded."""
    return _phase_reply(_state(request), started=True)


@router.get("/readyz", summary="Does the service take work?")
async def readyz(request: Request) -> Response:
    """200 while the service takes work."""
    return _phase_reply(_state(request), started=False)


@router.get("/metrics", summary="Prometheus metrics")
async def metrics(request: Request) -> Response:
    """Metrics in Prometheus' text format."""
    return Response(_state(request).metrics.exposition(), media_type=CONTENT_TYPE)


async def _received(
    request: Request,
    model: type[ModelT],
    *,
    max_edits: int,
    edits: bool = True,
    usual: Priority = Priority.INTERACTIVE,
) -> tuple[Body[ModelT], float, Caller]:
    """Read the body, and set the deadline that reading it counts against.

    Raises:
        ApiError: 503 where there is no judge and 429 where there is no room (before anything is read), 504 where the
            body took too long, and what `read_body` raises.
    """
    state = _state(request)
    state.require_ready()
    deadline = deadline_of(request, state)
    caller = caller_of(request, usual)
    with _counted(state, 1):
        state.admission.check(caller, remaining_s=_remaining(deadline))
    try:
        async with asyncio.timeout_at(deadline):
            body = await read_body(
                request, model, max_image_bytes=state.settings.max_image_bytes, max_edits=max_edits, edits=edits
            )
    except TimeoutError:
        message = "the deadline passed before the body had arrived; allow more time, or send smaller images"
        raise ApiError(504, Outcome.TIMED_OUT.value, message, retryable=True) from None
    return body, deadline, caller


async def _judge_one(
    request: Request, state: ServiceState, body: Body[RewardRequest], deadline: float, caller: Caller
) -> tuple[Reward, GroupResult]:
    group = await _judge(request, state, body, deadline, caller)
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
    return result, group


async def _judge(
    request: Request, state: ServiceState, body: Body[RewardRequest], deadline: float, caller: Caller
) -> GroupResult:
    judge, card = state.judge, _card(state)
    options = options_of(body.request, card, supports_probe=state.supports_probe, remember=remembers(request))
    asked = body.request
    work = _predicted(state, asked.instruction, asked.principles, options.mode, options.samples, body.source)
    with _admitted(state, caller, work.total(len(body.edited)), deadline, len(body.edited)) as ticket:
        started = time.perf_counter()
        source = await source_image(state, card, body.source)
        edits = await asyncio.gather(
            *(
                edited_image(state, card, data, f"edited[{index}]", _request_id(request))
                for index, data in enumerate(body.edited)
            )
        )
        decoded = time.perf_counter() - started
        state.metrics.stage("decode", decoded)
        call = Call(
            instruction=body.request.instruction,
            source=source,
            options=options,
            principles=body.request.principles,
            request_id=_request_id(request),
            identity=state.identity.identity,
            deadline=deadline,
            ticket=ticket,
            work=work,
        )
        group = await until_disconnect(request, judge.rewards(call, edits))
    state.metrics.tokens(group.usage)
    group.timing_ms["decode"] = decoded * 1e3
    return group


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
        with _counted(state, edits):
            remaining = _remaining(deadline)
            ticket = stack.enter_context(state.admission.admitted(caller, work, remaining_s=remaining))
        yield ticket


@contextmanager
def _counted(state: ServiceState, edits: int) -> Iterator[None]:
    """Edits that are refused have an outcome too. How many they are is not known before the body: one at least."""
    try:
        yield
    except ApiError as error:
        if error.code == Outcome.OVERLOADED:
            state.metrics.outcome(Outcome.OVERLOADED, edits)
        raise


def _remaining(deadline: float) -> float:
    return deadline - asyncio.get_running_loop().time()


async def _single(work: Coroutine[Any, Any, T]) -> T:
    """Turn an outcome without a number into its HTTP status."""
    try:
        return await work
    except UnscoredError as error:
        status = OUTCOME_STATUS[error.outcome]
        raise ApiError(status, error.code, error.message, retryable=error.retryable) from None


def _phase_reply(state: ServiceState, *, started: bool) -> Response:
    good = (Phase.READY, Phase.STOPPING) if started else (Phase.READY,)
    body: dict[str, Any] = {"status": state.phase.value}
    if state.store is not None:
        body["redis"] = "up" if state.store.problem is None else f"down: {state.store.problem}"
    if state.failure is not None:
        body["reason"] = state.failure
    return JSONResponse(body, 200 if state.phase in good else 503)


def _state(request: Request) -> ServiceState:
    state: ServiceState = request.app.state.service
    return state


def _card(state: ServiceState) -> JudgeCard:
    assert state.card is not None, "a judge that is ready has a card"
    return state.card


def _request_id(request: Request) -> str:
    return str(request.scope["state"]["request_id"])
