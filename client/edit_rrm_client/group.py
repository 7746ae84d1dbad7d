"""Groups of edits of one source: what to judge, what came of it, and the steps in between."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from edit_rrm.principles import Principle
from edit_rrm.verdicts import Aggregation, ErrorDetail, Mode, Outcome, Reward, Usage
from edit_rrm.wire import MAX_EDITS, RewardsResponse
from edit_rrm_client.call import Pause, Session, Steps, Tally, exchange
from edit_rrm_client.errors import (
    ApiStatusError,
    AuthenticationError,
    BadResponseError,
    ConnectionFailedError,
    DeadlineError,
    IdentityChangedError,
    InvalidImageError,
    RewardClientError,
    UnscoredError,
)
from edit_rrm_client.images import ImageInput
from edit_rrm_client.protocol import build_request, dumped, reward_fields

OnError = Literal["mask", "raise"]

_MASKED_CODES = frozenset({outcome.value for outcome in Outcome})


@dataclass(frozen=True, slots=True)
class Group:
    """Edits of one source by one instruction: GRPO's group."""

    instruction: str
    source: ImageInput
    edited: Sequence[ImageInput]
    principles: Sequence[Principle] | None = None
    """To verify; the judge decomposes the instruction where left out."""


@dataclass(frozen=True)
class GroupResult:
    """What came of a group, in the order of its edits. A reward is measured or it is masked."""

    results: tuple[Reward, ...]
    """Every edit's own: verdicts and reasoning, or why there is no score."""
    principles: tuple[Principle, ...] | None = None
    """What the group was judged by; None where nobody got to know."""
    identity: str | None = None
    """Hash of what judged it; None where nobody did."""
    usage: Usage = field(default_factory=Usage)
    attempts: int = 0
    """Requests sent."""
    elapsed: float = 0.0
    """Seconds, tries and waits included."""
    error: RewardClientError | None = None
    """What the last request ended in, where it left edits unanswered."""

    @cached_property
    def rewards(self) -> npt.NDArray[np.float32]:
        """Rewards from 0 to 1, shape (N,); NaN where `mask` is false, and never elsewhere."""
        return rewards_of(self.results)

    @cached_property
    def mask(self) -> npt.NDArray[np.bool_]:
        """Which rewards were measured, shape (N,)."""
        return np.array([result.outcome is Outcome.SCORED for result in self.results], np.bool_)

    def raise_for_error(self) -> Self:
        """Return this, unless edits went unanswered because the service was not there or took no more.

        Raises:
            RewardClientError: `error`.
        """
        if self.error is not None:
            raise self.error
        return self

    def to_dict(self) -> dict[str, Any]:
        """All but the arrays, as JSON has it."""
        return {
            "results": [result.model_dump(mode="json") for result in self.results],
            "principles": None if self.principles is None else dumped(self.principles),
            "identity": self.identity,
            "usage": self.usage.model_dump(mode="json"),
            "attempts": self.attempts,
            "elapsed": self.elapsed,
        }

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """How each edit ended."""
        return tuple(result.outcome for result in self.results)


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a group is to be judged."""

    mode: Mode = Mode.THINK
    aggregation: Aggregation | None = None
    samples: int = 1
    temperature: float | None = None
    seed: int | None = None


def score(
    session: Session,
    instruction: str,
    source: bytes,
    edited: Sequence[bytes | Reward],
    principles: Sequence[Principle] | None,
    wishes: Wishes,
    *,
    deadline: float,
    on_error: OnError,
    priority: str | None = None,
) -> Steps[GroupResult]:
    """Have a group judged; edits that failed and may not fail again are sent again, alone.

    All of a group is judged by the same principles and the same judge: those of its first answer. Where another judge
    has taken its place meanwhile, and none is pinned, the whole group is judged by that one.

    Args:
        session: The client's.
        instruction: Of the edits.
        source: Image file.
        edited: Image files; or the result of an edit that is no image and is not sent.
        principles: To verify.
        wishes: How.
        deadline: By the session's clock, of everything.
        on_error: What to do about edits that are not measured.
        priority: To ask for.

    Raises:
        UnscoredError: Some were not, and `on_error` is ``raise``.
        AuthenticationError, IdentityChangedError: Always; nothing can be measured.
        ApiStatusError, BadResponseError: The request itself is wrong, or the server.
        ConnectionFailedError: No server has ever answered this client: most likely the URL is wrong.
    """
    began = session.clock()
    name = hashlib.sha256(source + b"\0" + instruction.encode(errors="surrogatepass")).hexdigest()
    call = uuid.uuid4().hex
    group = _Progress(edited, principles)
    usage = Usage()
    sent, tally, changes, most = 0, Tally(), 0, MAX_EDITS
    failure: RewardClientError | None = None
    while group.pending:
        some = group.pending[:most]
        fields = reward_fields(
            instruction,
            group.principles,
            wishes.mode,
            wishes.aggregation,
            wishes.samples,
            wishes.temperature,
            wishes.seed,
        )
        request = build_request("/v1/rewards", fields, source, [group.files[index] for index in some])
        # One key for one body: tries of the same request share it, a request for what is left has its own.
        headers = {"idempotency-key": f"{call}-{sent}"}
        if priority is not None:
            headers["x-priority"] = priority
        if group.identity is not None:
            headers["x-expect-identity"] = group.identity
        sent += 1
        try:
            reply = yield from exchange(
                session, RewardsResponse, request, deadline=deadline, group=name, headers=headers, tally=tally
            )
            _check(reply, len(some), tally)
        except RewardClientError as error:
            if error.status == _TOO_LARGE and len(some) > 1:
                most = (len(some) + 1) // 2
                continue
            if error.status == _TOO_LARGE:
                group.done[some[0]] = _too_large(error, some[0])
                group.pending.remove(some[0])
                continue
            if isinstance(error, IdentityChangedError) and session.pinned is None and changes < _CHANGES:
                changes += 1
                group = _Progress(edited, principles)
                continue
            if _is_final(error) or _is_nobody(error, session):
                raise
            failure = error
            group.give_up(error)
            break
        session.check_identity(reply.identity)
        if group.identity not in (None, reply.identity):
            # A judge that does not look at what it is expected to be.
            changes += 1
            if changes > _CHANGES:
                raise _changing(reply.identity, tally)
            group = _Progress(edited, principles)
            continue
        usage += reply.usage
        group.take(some, reply)
        if group.pending and all(group.done[index] is not None for index in group.pending):
            # Nothing is left that has not been tried: what failed may have to wait.
            pause = session.rng.uniform(0.0, min(session.retry.longest_s, session.retry.first_s * 2.0 ** (sent - 1)))
            spent = session.retry.max_attempts is not None and sent >= session.retry.max_attempts
            if spent or pause >= deadline - session.clock():
                break
            session.counters.retried("edits")
            yield Pause(pause)
    results = tuple(result for result in group.done if result is not None)
    assert len(results) == len(edited), "every edit has ended"
    found = None if group.principles is None else tuple(group.principles)
    outcome = GroupResult(results, found, group.identity, usage, tally.attempts, session.clock() - began, failure)
    session.counters.ended(result.outcome.value for result in results)
    if on_error == "raise":
        raise_unscored(outcome)
    return outcome


_TOO_LARGE = 413
_CHANGES = 2
"""Times that a group is begun anew because another judge has taken the place of the one that began it."""


class _Progress:
    """What is known of a group's edits so far, all by one judge."""

    def __init__(self, edited: Sequence[bytes | Reward], principles: Sequence[Principle] | None) -> None:
        self.files = {index: one for index, one in enumerate(edited) if isinstance(one, bytes)}
        self.done: list[Reward | None] = [one if isinstance(one, Reward) else None for one in edited]
        self.pending = list(self.files)
        self.principles = principles
        self.identity: str | None = None

    def take(self, some: Sequence[int], reply: RewardsResponse) -> None:
        """Take an answer; what failed and may not fail again stays, behind what was not sent yet."""
        self.identity, self.principles = reply.identity, reply.principles or self.principles
        for index, result in zip(some, reply.results, strict=True):
            self.done[index] = _placed(result, index)
        self.pending = self.pending[len(some) :] + [index for index in some if _may_yet(self.done[index])]

    def give_up(self, error: RewardClientError) -> None:
        """What is pending will not be answered any more."""
        for index in self.pending:
            self.done[index] = self.done[index] or _unanswered(error)


def _check(reply: RewardsResponse, expected: int, tally: Tally) -> None:
    """Return if an answer is of as many edits as were sent, and all of one judge.

    Raises:
        BadResponseError: It is not.
    """
    if len(reply.results) != expected:
        message = f"{len(reply.results)} results came back for {expected} edits; is the URL right?"
        raise BadResponseError(message, code="bad_response", attempts=tally.attempts)
    strangers = {result.identity for result in reply.results} - {None, reply.identity}
    if strangers:
        message = f"results of {sorted(map(str, strangers))} came in an answer of {reply.identity}; is the URL right?"
        raise BadResponseError(message, code="bad_response", attempts=tally.attempts)


def _changing(identity: str, tally: Tally) -> IdentityChangedError:
    return IdentityChangedError(
        f"the judge changed {_CHANGES + 1} times while one group was judged, to {identity} at last: replicas behind "
        "the URL serve different judges; let them serve the same one",
        code="identity_mismatch",
        attempts=tally.attempts,
    )


def unsendable(error: InvalidImageError | OSError, index: int) -> Reward:
    """What becomes of an edit that cannot be sent."""
    detail = ErrorDetail(code="invalid_image", message=str(error), param=f"edited[{index}]")
    return Reward(outcome=Outcome.BAD_IMAGE, error=detail)


def _too_large(error: RewardClientError, index: int) -> Reward:
    detail = ErrorDetail(
        code=error.code, message=str(error), param=f"edited[{index}]", request_id=error.request_id, retryable=False
    )
    return Reward(outcome=Outcome.BAD_IMAGE, error=detail)


def rewards_of(results: Sequence[Reward]) -> npt.NDArray[np.float32]:
    """Rewards from 0 to 1, shape (N,); NaN where there is none."""
    return np.array([np.nan if result.reward is None else result.reward for result in results], np.float32)


def raise_unscored(result: GroupResult) -> None:
    """Return if every edit of a group was measured.

    Raises:
        UnscoredError: Some were not.
    """
    failed = [one.error for one in result.results if one.error is not None]
    if failed:
        count = f"{len(failed)} of {len(result.results)} edits were not scored"
        raise unscored_error(f"{count}; the first: {failed[0].code}: {failed[0].message}", result)


def unscored_error(message: str, result: GroupResult) -> UnscoredError:
    """The error of a group with an edit that was not measured: what is known of the first such edit, and the group."""
    first = next(one.error for one in result.results if one.error is not None)
    error = UnscoredError(
        message,
        code=first.code,
        param=first.param,
        request_id=first.request_id,
        retryable=first.retryable,
        attempts=result.attempts,
        elapsed=result.elapsed,
    )
    error.result = result
    return error


def _is_final(error: RewardClientError) -> bool:
    """Whether an error is about the whole run, or the caller's request, and not about a group that failed."""
    if isinstance(error, AuthenticationError | IdentityChangedError):
        return True
    if isinstance(error, ApiStatusError | BadResponseError):
        return not (error.retryable or error.code in _MASKED_CODES)
    return not isinstance(error, ConnectionFailedError)


def _is_nobody(error: RewardClientError, session: Session) -> bool:
    """Whether no server was ever there: a wrong URL, which masks would hide."""
    refused = error.code == "connection_failed" and not isinstance(error, DeadlineError)
    return refused and not session.met


def _may_yet(result: Reward | None) -> bool:
    return result is not None and result.error is not None and result.error.retryable


def _placed(result: Reward, index: int) -> Reward:
    """A result whose error names the edit by its place in the whole group."""
    error = result.error
    if error is None or error.param is None or not re.fullmatch(r"edited\[\d+\]", error.param):
        return result
    return result.model_copy(update={"error": error.model_copy(update={"param": f"edited[{index}]"})})


def outcome_of(error: RewardClientError) -> Outcome:
    """How an edit ended that nobody judged, by the error of its request."""
    if error.code in _MASKED_CODES - {Outcome.SCORED.value}:
        return Outcome(error.code)
    if error.status == 429:
        return Outcome.OVERLOADED
    if isinstance(error, DeadlineError) or error.code == "no_answer_in_time":
        return Outcome.TIMED_OUT
    return Outcome.ENGINE_ERROR


def _unanswered(error: RewardClientError) -> Reward:
    """What is known of an edit that nobody judged."""
    detail = ErrorDetail(
        code=error.code, message=str(error), request_id=error.request_id, retryable=error.retryable, param=error.param
    )
    return Reward(outcome=outcome_of(error), error=detail)
