"""What every judging route does around the judge: images, deadlines, and stopping when the client has gone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, TypeVar

from starlette.requests import Request

from edit_rrm.card import JudgeCard
from edit_rrm.verdicts import Aggregation, ErrorDetail, Mode, Outcome
from edit_rrm.wire import RewardRequest
from edit_rrm_service.callers import Caller, Priority
from edit_rrm_service.engines.base import EngineImage
from edit_rrm_service.errors import ApiError
from edit_rrm_service.images import ImageError, decode_image, fit_image
from edit_rrm_service.judge import Options
from edit_rrm_service.state import ServiceState

T = TypeVar("T")


def state_of(request: Request) -> ServiceState:
    """The service that a request has come to."""
    state: ServiceState = request.app.state.service
    return state


def deadline_of(request: Request, state: ServiceState) -> float:
    """Event-loop time by which a request has to be answered, from `X-Deadline-Ms` or the default.

    Raises:
        ApiError: 422 for a header that is not a number of milliseconds.
    """
    header = request.headers.get("x-deadline-ms")
    milliseconds = state.settings.default_deadline_ms
    if header is not None:
        if not (header.isascii() and header.isdigit() and 0 < len(header) <= 9 and int(header) > 0):
            raise ApiError(422, "invalid_request", "X-Deadline-Ms is a number of milliseconds", param="x-deadline-ms")
        milliseconds = min(int(header), milliseconds)
    return asyncio.get_running_loop().time() + milliseconds / 1e3


def request_id_of(request: Request) -> str:
    """The id that the middleware gave a request."""
    return str(request.scope["state"]["request_id"])


def expect_identity(request: Request, state: ServiceState) -> None:
    """Return unless `X-Expect-Identity` pins another judge than the one that is here.

    Raises:
        ApiError: 409.
    """
    expected = request.headers.get("x-expect-identity")
    found = state.identity.identity
    if expected is not None and expected != found:
        message = (
            f"X-Expect-Identity is {expected[:64]!r} and {found} is judging here; scores of two judges do not compare: "
            "pin the new one (GET /v1/identity says what it is) and start anew, or serve the old one"
        )
        raise ApiError(409, "identity_mismatch", message, param="x-expect-identity")


def key_of(request: Request) -> Caller:
    """Whose API key a request carries, as the middleware found."""
    caller: Caller = request.scope["state"]["caller"]
    return caller


def caller_of(request: Request, usual: Priority) -> Caller:
    """Who asks, at the priority of `X-Priority` or the endpoint's usual one, and never better than its key's.

    Raises:
        ApiError: 422 for a priority that there is not.
    """
    caller = key_of(request)
    header = request.headers.get("x-priority")
    if header is not None and header.upper() not in Priority.__members__:
        raise ApiError(422, "invalid_request", "X-Priority is interactive or training", param="x-priority")
    asked = usual if header is None else Priority[header.upper()]
    return replace(caller, priority=max(asked, caller.priority))


async def until_disconnect(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do work, and cancel it when the client goes away (the body must have been read before).

    Raises:
        ApiError: 499, which nobody will see, where the client has gone.
    """
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ApiError(499, Outcome.CANCELLED.value, "the client closed the connection")
        return task.result()
    finally:
        watch.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


async def engine_image(state: ServiceState, card: JudgeCard, data: bytes) -> EngineImage:
    """Decode an image and scale it to the judge's budget, off the event loop.

    Raises:
        ImageError: It cannot be judged.
    """
    limits = state.settings.image_limits
    loop = asyncio.get_running_loop()
    try:
        found = await loop.run_in_executor(state.decoding, lambda: fit_image(decode_image(data, limits), card.image))
    except ImageError as error:
        state.metrics.image(error.fault)
        raise
    state.metrics.image(None)
    return found


async def source_image(state: ServiceState, card: JudgeCard, data: bytes) -> EngineImage:
    """The source, without which nothing can be judged.

    Raises:
        ApiError: 422 `bad_image`.
    """
    try:
        return await engine_image(state, card, data)
    except ImageError as error:
        raise ApiError(422, Outcome.BAD_IMAGE.value, str(error), param="source") from None


async def edited_image(
    state: ServiceState, card: JudgeCard, data: bytes, param: str, request_id: str
) -> EngineImage | ErrorDetail:
    """An edited image, or the error that becomes its item's outcome."""
    try:
        return await engine_image(state, card, data)
    except ImageError as error:
        return ErrorDetail(code=Outcome.BAD_IMAGE.value, message=str(error), param=param, request_id=request_id)


def remembers(request: Request) -> bool:
    """Whether a request may be answered from what was measured before (`Cache-Control` of RFC 9111)."""
    directives = request.headers.get("cache-control", "").lower().replace(" ", "").split(",")
    return not {"no-cache", "no-store"}.intersection(directives)


def options_of(request: RewardRequest, card: JudgeCard, *, supports_probe: bool, remember: bool = True) -> Options:
    """A request's wishes with the card's defaults filled in.

    Raises:
        ApiError: 422 for wishes that contradict each other or the engine.
    """
    probe = request.mode is Mode.PROBE
    if probe and not supports_probe:
        raise ApiError(
            422, "probe_unsupported", "this engine cannot read label probabilities; use mode 'think'", param="mode"
        )
    if probe and request.samples > 1:
        message = "probes are not sampled: their probability is exact; use samples with mode 'think'"
        raise ApiError(422, "invalid_request", message, param="samples")
    aggregation = request.aggregation or (card.probe_aggregation if probe else card.think_aggregation)
    if probe and aggregation is Aggregation.MODEL:
        message = "mode 'probe' writes no score; choose mean, weighted, geometric, min or product"
        raise ApiError(422, "invalid_request", message, param="aggregation")
    default = card.sampling.samples_temperature if request.samples > 1 else card.sampling.temperature
    temperature = default if request.temperature is None else request.temperature
    top_p = card.sampling.top_p
    return Options(request.mode, aggregation, request.samples, temperature, top_p, request.seed, remember)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
