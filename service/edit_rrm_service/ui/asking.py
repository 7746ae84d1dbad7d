"""Asks a service over its HTTP contract, as anybody would: limits, keys and outcomes are the same for the page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from edit_rrm.principles import Principle
from edit_rrm.verdicts import Aggregation, ErrorDetail, Mode
from edit_rrm.wire import ErrorBody, Identity, RewardsResponse

ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class ChosenImage:
    """A file that somebody chose, whatever is in it."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody wants judged: edits of one source, and how."""

    instruction: str
    source: ChosenImage
    edited: tuple[ChosenImage, ...]
    mode: Mode = Mode.THINK
    aggregation: Aggregation | None = None
    """None leaves it to the judge card."""
    samples: int = 1
    principles: tuple[Principle, ...] | None = None
    """None has the judge decompose the instruction."""

    @property
    def fields(self) -> dict[str, Any]:
        """The `request` of the HTTP contract, without what is the contract's default anyway."""
        found: dict[str, Any] = {"instruction": self.instruction}
        if self.mode is not Mode.THINK:
            found["mode"] = self.mode.value
        if self.aggregation is not None:
            found["aggregation"] = self.aggregation.value
        if self.samples != 1:
            found["samples"] = self.samples
        if self.principles is not None:
            found["principles"] = [principle.model_dump(mode="json") for principle in self.principles]
        return found


class UnansweredError(Exception):
    """There is no judgement; `detail` has the service's own words for why."""

    def __init__(self, detail: ErrorDetail) -> None:
        super().__init__(detail.message)
        self.detail = detail


async def judged(http: httpx2.AsyncClient, question: Question, key: str | None = None) -> RewardsResponse:
    """Have a service judge a group.

    Args:
        http: Whose base URL is the service's.
        question: What to judge.
        key: API key; None sends none.

    Raises:
        UnansweredError: The service refused, failed, or could not be reached.
    """
    files: list[tuple[str, Any]] = [("request", (None, json.dumps(question.fields), "application/json"))]
    files += [("source", _part(question.source)), *(("edited", _part(image)) for image in question.edited)]
    # Somebody sits in front of a page and waits: before the groups of a trainer, as far as the key allows.
    headers = {"X-Priority": "interactive", **_bearer(key)}
    return await _answer(http, RewardsResponse, "POST", "/v1/rewards", headers=headers, files=files)


async def identity(http: httpx2.AsyncClient, key: str | None = None) -> Identity:
    """What is judging there.

    Raises:
        UnansweredError: The service has no judge yet, wants another key, or could not be reached.
    """
    return await _answer(http, Identity, "GET", "/v1/identity", headers=_bearer(key))


async def _answer(http: httpx2.AsyncClient, model: type[ModelT], method: str, path: str, **sent: Any) -> ModelT:
    try:
        reply = await http.request(method, path, **sent)
    except httpx2.TransportError as error:
        message = (
            f"{http.base_url} cannot be reached ({str(error) or type(error).__name__}); is the service running there?"
        )
        raise UnansweredError(ErrorDetail(code="unreachable", message=message, retryable=True)) from error
    try:
        if reply.is_success:
            return model.model_validate_json(reply.content)
        detail = ErrorBody.model_validate_json(reply.content).error
    except ValidationError:
        message = f"{http.base_url} answered {path} with status {reply.status_code} and something else than Edit-RRM's"
        detail = ErrorDetail(code="not_edit_rrm", message=f"{message}; check the address")
    raise UnansweredError(detail)


def _part(image: ChosenImage) -> tuple[str, bytes, str]:
    return image.name, image.data, "application/octet-stream"


def _bearer(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Authorization": f"Bearer {key}"}
