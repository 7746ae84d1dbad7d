"""The routes of v1. Each reads a request, has it judged, and answers it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from edit_rrm.verdicts import Reward
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
from edit_rrm_service.api.answers import answered
from edit_rrm_service.api.bodies import Asked, Body, body_schema
from edit_rrm_service.api.calls import request_id_of, state_of
from edit_rrm_service.api.judging import decomposed, judged, judged_one, received
from edit_rrm_service.callers import Priority
from edit_rrm_service.lifecycle import Lifecycle, Phase
from edit_rrm_service.metrics import CONTENT_TYPE
from edit_rrm_service.state import ServiceState

router = APIRouter()

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody} for status in (400, 401, 408, 409, 413, 415, 422, 429, 502, 503, 504)
}


@router.post(
    "/v1/decompose",
    response_model=DecomposeResponse,
    responses=_ERRORS,
    openapi_extra=body_schema(DecomposeRequest, DecomposeJson, edits=None),
    summary="Break an instruction into principles",
)
async def decompose(request: Request) -> Response:
    """Principles: yes/no questions in three categories that an edit has to meet."""
    state = state_of(request)
    asked = await received(request, state, DecomposeRequest, max_edits=0, edits=False)
    return await answered(request, state, asked, lambda: decomposed(state, asked, request_id_of(request)))


@router.post(
    "/v1/verify",
    response_model=VerifyResponse,
    responses=_ERRORS,
    openapi_extra=body_schema(VerifyRequest, VerifyJson, edits="one"),
    summary="Check given principles on an edit",
)
async def verify(request: Request) -> Response:
    """Verdicts and reasoning for the principles you send; no score."""
    state = state_of(request)
    asked = await received(request, state, VerifyRequest, max_edits=1)
    wishes = RewardRequest(**asked.body.request.model_dump())
    scored = Asked(Body(wishes, asked.body.source, asked.body.edited), asked.deadline, asked.caller)

    async def make() -> VerifyResponse:
        reward = await judged_one(request, state, scored)
        return VerifyResponse(
            verdicts=reward.verdicts,
            reasoning=reward.reasoning,
            mode=wishes.mode,
            request_id=request_id_of(request),
            identity=state.identity.identity,
            usage=reward.usage,
            timing_ms=reward.timing_ms,
        )

    return await answered(request, state, asked, make)


@router.post(
    "/v1/reward",
    response_model=Reward,
    responses=_ERRORS,
    openapi_extra=body_schema(RewardRequest, RewardJson, edits="one"),
    summary="Judge one edit",
)
async def reward(request: Request) -> Response:
    """Score, reward, verdicts and reasoning for one edit; anything but a measured score is an error status."""
    state = state_of(request)
    asked = await received(request, state, RewardRequest, max_edits=1)
    return await answered(request, state, asked, lambda: judged_one(request, state, asked))


@router.post(
    "/v1/rewards",
    response_model=RewardsResponse,
    responses=_ERRORS,
    openapi_extra=body_schema(RewardRequest, RewardsJson, edits="many"),
    summary="Judge a group of edits of one source",
)
async def rewards(request: Request) -> Response:
    """One result per edit, in order, each with its own outcome; the instruction is decomposed once."""
    state = state_of(request)
    most = state.settings.max_edits
    asked = await received(request, state, RewardRequest, max_edits=most, usual=Priority.TRAINING)

    async def make() -> RewardsResponse:
        group = await judged(request, state, asked)
        return RewardsResponse(
            results=group.rewards,
            principles=group.principles,
            request_id=request_id_of(request),
            identity=state.identity.identity,
            usage=group.usage,
            timing_ms=group.timing_ms,
        )

    return await answered(request, state, asked, make)


@router.get("/v1/identity", response_model=Identity, responses=_ERRORS, summary="What exactly is judging")
async def identity(request: Request) -> Identity:
    """Weights, prompts, preprocessing and sampling, and the hash over them that every response carries."""
    return state_of(request).identity


@router.get("/livez", summary="Is the process alive?")
async def livez(request: Request) -> Response:
    """200 unless the engine has died: then the process should be replaced."""
    return _phase_reply(state_of(request), lambda life: life.phase is not Phase.DEAD)


@router.get("/startupz", summary="Has the judge been loaded?")
async def startupz(request: Request) -> Response:
    """200 once the judge has been loaded."""
    return _phase_reply(state_of(request), lambda life: life.started)


@router.get("/readyz", summary="Does the service take work?")
async def readyz(request: Request) -> Response:
    """200 while the service takes work."""
    return _phase_reply(state_of(request), lambda life: life.phase is Phase.READY)


@router.get("/metrics", response_class=PlainTextResponse, summary="Prometheus metrics")
async def metrics(request: Request) -> Response:
    """Metrics in Prometheus' text format."""
    return Response(state_of(request).metrics.exposition(), media_type=CONTENT_TYPE)


def _phase_reply(state: ServiceState, good: Callable[[Lifecycle], bool]) -> Response:
    body: dict[str, Any] = {"status": state.lifecycle.phase.value}
    if state.lifecycle.reason is not None:
        body["reason"] = state.lifecycle.reason
    if state.store is not None:
        body["redis"] = "up" if state.store.problem is None else f"down: {state.store.problem}"
    return JSONResponse(body, 200 if good(state.lifecycle) else 503)
