"""A remote reward URL as OpenRLHF calls it: `POST /get_reward` (as of 0.11).

A trainer posts ``{"query": [...], "prompts": [...], "labels": [...]}`` and wants ``rewards`` and ``scores``, lists of
numbers. Here a query is the edited image in base64 (or a data URL of it), a prompt the instruction, and a label an
object, or its JSON, with the ``source`` in base64 and, where the prompt is not the instruction, the ``instruction``;
OpenRLHF hands labels on from the data set as they are. How it is judged is in the URL: ``/get_reward?mode=probe``.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from edit_rrm.verdicts import Mode
from edit_rrm.wire import ErrorBody
from edit_rrm_service.api.bodies import bounded_list, image_from_base64, json_body, json_object, validated
from edit_rrm_service.api.calls import request_id_of, state_of, until_disconnect
from edit_rrm_service.api.compatibility.edits import MAX_ITEMS, Edit, Failed, judge_edits, raise_if_worth_another_try
from edit_rrm_service.api.judging import entered, in_time
from edit_rrm_service.callers import Priority
from edit_rrm_service.errors import ApiError

router = APIRouter(tags=["Compatibility"])


class HowToJudge(BaseModel):
    """What the URL may say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Mode = Mode.THINK


class Label(BaseModel):
    """What an edit is judged against."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    source: str
    """Base64 or a data URL."""
    instruction: str | None = None
    """The item's prompt where left out."""


class GetReward(BaseModel):
    """What a trainer posts: three lists of one length."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    query: Annotated[tuple[str, ...], Field(min_length=1), bounded_list(MAX_ITEMS)]
    prompts: Annotated[tuple[str, ...], bounded_list(MAX_ITEMS)] | None = None
    labels: Annotated[tuple[dict[str, Any] | str, ...], bounded_list(MAX_ITEMS)]


class RewardsOfQueries(BaseModel):
    """What it reads, in the order of the queries."""

    rewards: list[float]
    """From 0 to 1, every one measured."""
    scores: list[float]
    """The same: trainers filter by these."""
    extra_logs: dict[str, list[float]] = Field(default_factory=dict)


_MODE = {
    "name": "mode",
    "in": "query",
    "required": False,
    "description": "How principles are verified.",
    "schema": {"type": "string", "enum": [mode.value for mode in Mode], "default": Mode.THINK.value},
}


@router.post(
    "/get_reward",
    response_model=RewardsOfQueries,
    responses={status: {"model": ErrorBody} for status in (400, 401, 408, 409, 413, 422, 429, 502, 503, 504)},
    openapi_extra={"parameters": [_MODE], **json_body(GetReward)},
    summary="OpenRLHF: rewards of queries",
)
async def get_reward(request: Request) -> Response:
    """Rewards in OpenRLHF's protocol; an error status unless every one was measured."""
    state = state_of(request)
    mode = validated(HowToJudge, request.query_params).mode
    entry = entered(request, state, Priority.TRAINING)
    asked = validated(GetReward, json_object(await in_time(entry, request.body()), "body"))
    edits = _edits(asked, mode, state.settings.max_image_bytes)
    found = await until_disconnect(request, judge_edits(request, state, entry, edits))
    raise_if_worth_another_try(found, request_id_of(request))
    rewards = [_measured(one, index, len(found)) for index, one in enumerate(found)]
    return Response(RewardsOfQueries(rewards=rewards, scores=rewards).model_dump_json(), media_type="application/json")


def _edits(asked: GetReward, mode: Mode, max_image_bytes: int) -> list[Edit]:
    count = len(asked.query)
    prompts = asked.prompts or ("",) * count
    if not len(prompts) == len(asked.labels) == count:
        message = f"{count} queries, {len(prompts)} prompts and {len(asked.labels)} labels; send as many of each"
        raise ApiError(422, "invalid_request", message, param="labels")
    edits = []
    for index, (query, prompt, given) in enumerate(zip(asked.query, prompts, asked.labels, strict=True)):
        label = _label(given, f"labels[{index}]")
        source = image_from_base64(label.source, f"labels[{index}].source", max_image_bytes)
        edited = image_from_base64(query, f"query[{index}]", max_image_bytes)
        edits.append(Edit(prompt if label.instruction is None else label.instruction, source, edited, mode))
    return edits


def _label(given: dict[str, Any] | str, param: str) -> Label:
    try:
        return validated(Label, json_object(given, param) if isinstance(given, str) else given)
    except ApiError as error:
        message = f'{param} has to be {{"source": BASE64, "instruction": ...}}, or that as JSON: {error.message}'
        raise ApiError(422, "invalid_request", message, param=param) from None


def _measured(one: float | Failed, index: int, count: int) -> float:
    if isinstance(one, Failed):
        message = (
            f"query {index} of {count} was not scored, and this protocol cannot leave one out: {one.detail.message}"
        )
        raise ApiError(one.status, one.detail.code, message, param=f"query[{index}]")
    return one
