"""UniRL's reward service: `POST /score`, `GET /rewards`, `GET /health` (protocol 1, as of its client in June 2026).

Its trainer calls this with ``RemoteRewardSpec(base_url="http://judge:8000", required_rewards=("edit_rrm",))``. The last
turn of an item's history has the edited image and the instruction, the turn before it the source. What is wrong with
an item's content is an error of that item: the trainer prints those, and of an error status only the number. A body
that is of another form altogether is refused as a whole.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from edit_rrm.verdicts import ErrorDetail, Mode
from edit_rrm.wire import ErrorBody
from edit_rrm_service.api.bodies import bounded_list, image_from_base64, json_body, json_object, validated
from edit_rrm_service.api.calls import request_id_of, state_of, until_disconnect
from edit_rrm_service.api.compatibility.edits import MAX_ITEMS, Edit, Failed, judge_edits, raise_if_worth_another_try
from edit_rrm_service.api.judging import entered, in_time
from edit_rrm_service.callers import Priority
from edit_rrm_service.lifecycle import Phase
from edit_rrm_service.state import ServiceState

REWARDS = {"edit_rrm": Mode.THINK, "edit_rrm_probe": Mode.PROBE}
"""Names that a trainer may require, and how each is judged."""

_MAX_TURNS = 64

router = APIRouter(tags=["Compatibility"])


Echoed = Annotated[str, Field(max_length=1_024)] | int | None
"""What an item calls itself, and gets back."""


class Turn(BaseModel):
    """A text and an image."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    text: str = ""
    image_b64: str | None = None


class Item(BaseModel):
    """One edit, and what it is wanted for."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    history: Annotated[tuple[Turn, ...], bounded_list(_MAX_TURNS)]
    required_rewards: tuple[str, ...] = Field(min_length=1, max_length=len(REWARDS))
    request_id: Echoed = None
    sample_id: Echoed = None
    group_id: Echoed = None
    source_rank: Echoed = None
    policy_version: Echoed = None
    idempotency_key: Echoed = None
    scorer_version: str | None = None
    """The judge's identity that the trainer expects."""


class ScoreRequest(BaseModel):
    """What its trainer posts."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    protocol_version: str = "1"
    requests: Annotated[tuple[Item, ...], bounded_list(MAX_ITEMS)]


class ScoreResponse(BaseModel):
    """What its trainer reads, all lists in the order of the requests."""

    protocol_version: str = "1"
    results: list[dict[str, dict[str, float]]]
    """Rewards from 0 to 1 by name; what was not measured is not there."""
    errors: list[dict[str, str]]
    """By name, why not."""
    identities: list[dict[str, str | int | None]]
    """What each item called itself, and the judge's identity as `scorer_version`."""


@router.post(
    "/score",
    response_model=ScoreResponse,
    responses={status: {"model": ErrorBody} for status in (400, 401, 408, 409, 413, 422, 429, 503, 504)},
    openapi_extra=json_body(ScoreRequest),
    summary="UniRL: judge a batch of edits",
)
async def score(request: Request) -> Response:
    """Rewards of a batch in UniRL's protocol."""
    state = state_of(request)
    entry = entered(request, state, Priority.TRAINING)
    body = json_object(await in_time(entry, request.body()), "body")
    asked = validated(ScoreRequest, body)
    wanted: list[tuple[int, str]] = []
    edits: list[Edit] = []
    errors: list[dict[str, str]] = [{} for _ in asked.requests]
    for index, item in enumerate(asked.requests):
        for name in dict.fromkeys(item.required_rewards):
            problem = _problem(item, name, state)
            if problem is not None:
                errors[index][name] = problem
                continue
            wanted.append((index, name))
            edits.append(_edit(item, REWARDS[name], state.settings.max_image_bytes))
    found = await until_disconnect(request, judge_edits(request, state, entry, edits))
    raise_if_worth_another_try(found, request_id_of(request))
    results: list[dict[str, dict[str, float]]] = [{} for _ in asked.requests]
    for (index, name), one in zip(wanted, found, strict=True):
        if isinstance(one, Failed):
            errors[index][name] = _told(one.detail)
        else:
            results[index][name] = {name: one}
    answer = ScoreResponse(
        results=results,
        errors=errors,
        identities=[_identity(item, state.identity.identity) for item in asked.requests],
    )
    return Response(answer.model_dump_json(), media_type="application/json")


@router.get("/rewards", summary="UniRL: names of the rewards that may be required")
async def rewards(request: Request) -> dict[str, list[str]]:
    """Names that `required_rewards` may have."""
    return {"rewards": _served(state_of(request))}


@router.get("/health", summary="UniRL: whether the service takes work")
async def health(request: Request) -> Response:
    """200 while it takes work, unlike `/livez`: a trainer that is told to start should be able to."""
    state = state_of(request)
    phase = state.lifecycle.phase
    ready = phase is Phase.READY
    body: dict[str, Any] = {
        "status": "ok" if ready else phase.value,
        "rewards": {name: [phase.value] for name in _served(state)} if ready else {},
    }
    return JSONResponse(body, 200 if ready else 503)


def _served(state: ServiceState) -> list[str]:
    return [name for name, mode in REWARDS.items() if mode is Mode.THINK or state.supports_probe]


def _problem(item: Item, name: str, state: ServiceState) -> str | None:
    """Why an item cannot be judged."""
    if name not in _served(state):
        return f"unknown_reward: there is no reward {name!r} here, but {', '.join(_served(state))}"
    here = state.identity.identity
    if item.scorer_version not in (None, here):
        return f"identity_mismatch: scorer_version {item.scorer_version!r} is expected and {here} is judging"
    if not item.history or item.history[-1].image_b64 is None:
        return "invalid_request: the last turn of the history has no image; it is the edited one"
    if len(item.history) < 2 or item.history[-2].image_b64 is None:
        return (
            "invalid_request: there is no source image; an edit is judged against its source, which is the condition "
            "image of the turn before the last"
        )
    return None


def _edit(item: Item, mode: Mode, max_image_bytes: int) -> Edit:
    source, edited = item.history[-2:]
    return Edit(
        instruction=edited.text or source.text,
        source=image_from_base64(source.image_b64, "source", max_image_bytes),
        edited=image_from_base64(edited.image_b64, "edited", max_image_bytes),
        mode=mode,
    )


def _identity(item: Item, scorer_version: str) -> dict[str, str | int | None]:
    echoed = item.model_dump(
        include={"request_id", "sample_id", "group_id", "source_rank", "policy_version", "idempotency_key"}
    )
    return {**echoed, "scorer_version": scorer_version}


def _told(detail: ErrorDetail) -> str:
    return f"{detail.code}: {detail.message} (request {detail.request_id})"
