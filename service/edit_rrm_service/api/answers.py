"""From a request that was read to its answer: made once, given up when nobody waits, replayed where due.

The judging itself is in `judging.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from edit_rrm.verdicts import Outcome
from edit_rrm.wire import DecomposeRequest, RewardRequest, RewardsResponse, VerifyRequest
from edit_rrm_service.api.bodies import Asked
from edit_rrm_service.api.calls import until_disconnect
from edit_rrm_service.errors import ApiError
from edit_rrm_service.idempotency import checked_key, fingerprint_of
from edit_rrm_service.state import ServiceState

AnyAsked = Asked[DecomposeRequest] | Asked[RewardRequest] | Asked[VerifyRequest]


async def answered(
    request: Request, state: ServiceState, asked: AnyAsked, make: Callable[[], Awaitable[BaseModel]]
) -> Response:
    """Make the answer to a request, or replay the one it had.

    Args:
        request: The HTTP request.
        state: The service.
        asked: What was read of it.
        make: Makes the answer. Cancelled when the last client that waits for it has hung up.

    Raises:
        ApiError: What `make` raises; 422 for an idempotency key that is none or was another request's.
    """
    header = request.headers.get("idempotency-key")
    if header is None:
        made = await until_disconnect(request, _awaited(make))
        return _json(made.model_dump_json())
    key = checked_key(header)
    body = asked.body
    images = (body.source, *body.edited)
    asks = body.request.model_dump_json()
    hashing = partial(fingerprint_of, request.url.path, asks, images)
    fingerprint = asyncio.get_running_loop().run_in_executor(state.decoding, hashing)

    async def work() -> tuple[str, bool]:
        made = await make()
        return made.model_dump_json(), _is_final(made)

    running = state.idempotency.run(asked.caller, key, fingerprint, work, identity=state.identity.identity)
    text, replayed = await until_disconnect(request, _until(asked.deadline, running))
    return _json(text, {"Idempotent-Replayed": "true"} if replayed else {})


def _is_final(made: BaseModel) -> bool:
    """Whether another try would be answered the same: a group with an edit that may yet be scored is not done."""
    if not isinstance(made, RewardsResponse):
        return True
    return all(result.error is None or not result.error.retryable for result in made.results)


async def _until(deadline: float, work: Awaitable[tuple[str, bool]]) -> tuple[str, bool]:
    try:
        async with asyncio.timeout_at(deadline):
            return await work
    except TimeoutError:
        message = "the deadline passed before the first try of this request was done; allow more time"
        raise ApiError(504, Outcome.TIMED_OUT.value, message, retryable=True) from None


async def _awaited(make: Callable[[], Awaitable[BaseModel]]) -> BaseModel:
    return await make()


def _json(text: str, headers: dict[str, str] | None = None) -> Response:
    return Response(text, media_type="application/json", headers=headers)
