"""A group, asked of a running service: over HTTP, through the client, like any trainer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Protocol

from PIL import Image, ImageOps

from edit_rrm.principles import Principle
from edit_rrm.verdicts import Aggregation, Mode, Outcome
from edit_rrm.wire import MAX_EDITS, Identity
from edit_rrm_client import ApiStatusError, GroupResult, RewardClientError
from edit_rrm_client.images import content_type, encode_image
from edit_rrm_training.judge.pairs.grouping import Group
from edit_rrm_training.judge.pairs.pair import StoredImage

_WAITS_S = (1.0, 3.0, 10.0, 30.0)
"""Pauses before asking again where the service has too much to do or is away."""

_TOO_LARGE = 413
_TOO_MANY = "too_many_edits"


class JudgeChangedError(Exception):
    """The service judged with another identity than the one the run began with."""


class RewardApi(Protocol):
    """What is asked of a service; `edit_rrm_client.RewardClient` provides it."""

    def identity(self) -> Identity:
        """What exactly is judging."""
        ...

    def rewards(
        self,
        instruction: str,
        source: bytes,
        edited: Sequence[bytes],
        *,
        principles: Sequence[Principle] | None = None,
        mode: Mode = Mode.THINK,
        aggregation: Aggregation | None = None,
        samples: int = 1,
    ) -> GroupResult:
        """Judge a group of edits of one source."""
        ...


@dataclass(frozen=True, slots=True)
class EditScore:
    """How the judging of one edit ended."""

    outcome: Outcome
    score: float | None = None
    """In [0, 10], and only where the outcome is `scored`."""
    spread: float | None = None
    """Sample standard deviation over the samples."""
    message: str | None = None
    """Why there is no score."""


@dataclass(frozen=True, slots=True)
class Question:
    """How every group is asked."""

    mode: Mode = Mode.THINK
    samples: int = 1
    """Scores averaged for one edit (Avg@K)."""
    aggregation: Aggregation | None = None
    resize_edits: bool = False
    """Bring edits to their source's size first, where a benchmark's rules say so."""


class GroupAsker:
    """Asks a service about groups. Safe to share between threads."""

    def __init__(
        self, api: RewardApi, question: Question, identity: str, *, wait: Callable[[float], None] = time.sleep
    ) -> None:
        """Prepare to ask.

        Args:
            api: The service.
            question: How to ask.
            identity: Hash of the judge that has to answer.
            wait: Pauses for some seconds; replaced in tests.
        """
        self._api = api
        self._question = question
        self._identity = identity
        self._wait = wait

    def __call__(self, group: Group) -> list[EditScore]:
        """Scores of a group's edits, in their order.

        Raises:
            JudgeChangedError: Another judge answered.
            RewardClientError: The service is not there, or does not take the request at all.
            OSError: An image is no longer where it was.
        """
        source = sendable(group.source.load())
        scores: list[EditScore] = []
        for start in range(0, len(group.edits), MAX_EDITS):
            edits = [sendable(picture.load()) for picture in group.edits[start : start + MAX_EDITS]]
            if self._question.resize_edits:
                edits = [resized(edit, source) for edit in edits]
            # Encoded here, once, however often the service has to be asked.
            scores += self._scores(group, encode_image(source), [encode_image(edit) for edit in edits])
        return scores

    def _scores(self, group: Group, source: bytes, edits: Sequence[bytes]) -> list[EditScore]:
        try:
            reply = self._patiently(lambda: self._ask(group, source, edits))
        except ApiStatusError as error:
            if error.status == _TOO_LARGE or error.code == _TOO_MANY:
                if len(edits) == 1:
                    return [EditScore(Outcome.BAD_IMAGE, message=str(error))]
                # Together they are beyond a limit of this service: in halves, then.
                half = len(edits) // 2
                return self._scores(group, source, edits[:half]) + self._scores(group, source, edits[half:])
            # The source alone can be at fault (an image beyond a limit): that is this group's outcome, not the run's.
            if error.code not in {outcome.value for outcome in Outcome}:
                raise
            return [EditScore(Outcome(error.code), message=str(error))] * len(edits)
        assert reply.identity is not None, "who judged is known where somebody did"
        if reply.identity != self._identity:
            raise JudgeChangedError(
                f"the judge changed during the run: it was {self._identity[:12]}, now {reply.identity[:12]} answers"
            )
        return [
            EditScore(
                reward.outcome, reward.score, reward.score_std, None if reward.error is None else reward.error.message
            )
            for reward in reply.results
        ]

    def _ask(self, group: Group, source: bytes, edits: Sequence[bytes]) -> GroupResult:
        reply = self._api.rewards(
            group.instruction,
            source,
            edits,
            principles=group.principles,
            mode=self._question.mode,
            aggregation=self._question.aggregation,
            samples=self._question.samples,
        )
        return reply.raise_for_error()

    def _patiently(self, ask: Callable[[], GroupResult]) -> GroupResult:
        for pause in _WAITS_S:
            try:
                return ask()
            except RewardClientError as error:
                if not error.retryable:
                    raise
            self._wait(pause)
        return ask()


def sendable(image: StoredImage) -> StoredImage:
    """An image as a service takes it: PNG, JPEG and WebP files untouched, other formats as pixels."""
    if isinstance(image, bytes) and content_type(image) == "application/octet-stream":
        return opened(image)
    return image


def resized(edit: StoredImage, source: StoredImage) -> StoredImage:
    """An edit in its source's size; untouched where it has that already."""
    picture, wanted = opened(edit), opened(source).size
    return edit if picture.size == wanted else picture.resize(wanted, Image.Resampling.BICUBIC)


def opened(image: StoredImage) -> Image.Image:
    """A picture as pixels, upright."""
    if isinstance(image, Image.Image):
        return image
    # Upright, as the service sees it; resizing would lose the note that says which way that is.
    picture = ImageOps.exif_transpose(Image.open(BytesIO(image) if isinstance(image, bytes) else image))
    return picture if picture.mode in ("RGB", "RGBA") else picture.convert("RGB")
