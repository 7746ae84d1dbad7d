"""A flat list of edits, as these protocols have it, judged in groups of one instruction and source."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request

from edit_rrm.verdicts import ErrorDetail, Mode, Outcome, Reward
from edit_rrm.wire import RewardRequest
from edit_rrm_service.api.bodies import Asked, Body, check_legible, validated
from edit_rrm_service.api.calls import request_id_of
from edit_rrm_service.api.judging import Entry, judged
from edit_rrm_service.errors import OUTCOME_STATUS, ApiError
from edit_rrm_service.state import ServiceState

MAX_ITEMS = 1_024
"""Most edits in one request of these protocols, which send a whole step at a time."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit to judge."""

    instruction: str
    source: bytes
    edited: bytes
    mode: Mode = Mode.THINK


@dataclass(frozen=True, slots=True)
class Failed:
    """Why an edit has no reward."""

    status: int
    detail: ErrorDetail


async def judge_edits(
    request: Request, state: ServiceState, entry: Entry, edits: Sequence[Edit]
) -> list[float | Failed]:
    """Judge edits. Those of one instruction, source and mode are one group, in whatever order they come.

    Args:
        request: The HTTP request.
        state: The service.
        entry: What the request was let in with.
        edits: To judge.

    Returns:
        A reward from 0 to 1 or why there is none, in the order of `edits`.
    """
    groups: dict[tuple[str, bytes, Mode], list[int]] = {}
    for place, edit in enumerate(edits):
        groups.setdefault((edit.instruction, edit.source, edit.mode), []).append(place)
    most = state.settings.max_edits
    parts = [members[start : start + most] for members in groups.values() for start in range(0, len(members), most)]
    answers = await asyncio.gather(
        *(_judge_group(request, state, entry, [edits[place] for place in members]) for members in parts)
    )
    found = {
        place: one
        for members, answer in zip(parts, answers, strict=True)
        for place, one in zip(members, answer, strict=True)
    }
    return [found[place] for place in range(len(edits))]


def raise_if_worth_another_try(found: Sequence[float | Failed], request_id: str) -> None:
    """Return unless an edit failed for a reason that passes.

    Raises:
        ApiError: Retryable, with the status of the first such failure.
    """
    failures = [one for one in found if isinstance(one, Failed)]
    passing = [one for one in failures if one.detail.retryable]
    if not passing:
        return
    first = passing[0]
    message = (
        f"{len(passing)} of {len(found)} edits were not scored, for a reason that passes: {first.detail.message}; send "
        "the same request again, what was measured is remembered"
    )
    raise ApiError(first.status, first.detail.code, message, param=first.detail.param, retryable=True)


async def _judge_group(
    request: Request, state: ServiceState, entry: Entry, edits: Sequence[Edit]
) -> list[float | Failed]:
    """Judge edits of one instruction and source; what is wrong with the group is wrong with each of them."""
    first = edits[0]
    try:
        wishes = validated(RewardRequest, {"instruction": first.instruction, "mode": first.mode})
        check_legible(wishes)
        body = Body(wishes, first.source, tuple(edit.edited for edit in edits))
        group = await judged(request, state, Asked(body, entry.deadline, entry.caller))
    except ApiError as error:
        return [Failed(error.status, error.detail(request_id_of(request)))] * len(edits)
    return [_reward_of(result) for result in group.rewards]


def _reward_of(result: Reward) -> float | Failed:
    if result.outcome is Outcome.SCORED:
        assert result.reward is not None, "a scored edit has a reward"
        return result.reward
    assert result.error is not None, "an edit that was not scored says why"
    return Failed(OUTCOME_STATUS[result.outcome], result.error)
