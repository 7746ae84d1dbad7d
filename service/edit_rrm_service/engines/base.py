"""The engine seam: what the judge needs from whatever runs the model.

Engines render structured prompts with the checkpoint's own chat template, so that the judge decides the order and the
engine can reuse prefixes and processed images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from PIL import Image

FinishReason = Literal["stop", "length", "refused"]


@dataclass(frozen=True, slots=True, eq=False)
class EngineImage:
    """An RGB image, already within the judge's pixel budget, with the digest of its pixels and preprocessing."""

    pixels: Image.Image
    digest: str
    """SHA-256 (hex). Computed by the service from what it decoded, never taken from a client: engines cache by it."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One chat: a system turn and one user turn of text and images in order."""

    system: str
    parts: tuple[str | EngineImage, ...]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to decode."""

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    """Of every prompt of a call: repeats of one prompt need calls with other seeds."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What the judge wrote, and what it cost."""

    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    cached_tokens: int
    """Prompt tokens taken from the engine's prefix cache; 0 where the engine cannot tell."""
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class LabelReading:
    """Natural-log probabilities of labels as the very next token, before temperature and masks."""

    logprobs: Mapping[str, float]
    """One entry per label asked for; -inf (or a large negative number) where the model all but rules it out.

    -inf, too, for a label that is not a single token for this model: `start` made sure that another of its answer is.
    """
    prompt_tokens: int
    cached_tokens: int

    def __post_init__(self) -> None:
        """Refuse what is no number.

        Raises:
            EngineError: A log-probability is NaN.
        """
        if any(math.isnan(value) for value in self.logprobs.values()):
            raise EngineError(
                "the model's log-probabilities are not numbers (NaN): its weights are broken, or its dtype overflows",
                retryable=False,
            )


class EngineError(Exception):
    """An engine could not do the work. The message is for operators; `retryable` says whether trying again can help."""

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        super().__init__(message)
        self.retryable = retryable


class EngineDeadError(EngineError):
    """The engine is gone for good and the process should be replaced."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=True)


class EngineStartError(Exception):
    """An engine could not start; the message is one line for the person who started it, saying what to do."""


class ProbeUnsupportedError(EngineError):
    """The engine cannot return label log-probabilities, so mode `probe` is not available on it."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=False)


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What an engine contributes to the judge's identity, and what it can do."""

    engine: str
    """`vllm`, `openai` or `transformers`."""
    model: str
    weights_digest: str | None
    """SHA-256 (hex) over the checkpoint's files; null for a remote model."""
    dtype: str
    supports_probe: bool
    details: Mapping[str, Any] = field(default_factory=dict)
    """Versions and settings that can move a score."""
    concurrency: int = 64
    """Prompts worth handing over at a time: what it works on at once, and some to follow. Not part of the identity."""


@dataclass(frozen=True, slots=True)
class Backend:
    """One of the servers an engine spreads its work over, as it is now."""

    name: str
    """Its URL, without what is secret in it."""
    up: bool
    """Whether it is being used."""
    in_flight: int
    requests: Mapping[str, int]
    """Attempts so far by how they ended: `ok`, `busy`, `failed`, `refused`, `cancelled`."""


class Engine(Protocol):
    """Runs a judge. Every method may be called concurrently; cancelling a call aborts its work.

    Failures of `generate` and `probe` are entries of the list they return, one per prompt, and never exceptions.
    """

    @property
    def facts(self) -> EngineFacts:
        """Facts about the running engine; valid after `start`."""
        ...

    async def start(self, labels: Sequence[str]) -> None:
        """Load the model and resolve `labels` to single tokens after the chat template's cue for the reply.

        A label of several tokens is skipped, with a log line, where another variant of its answer (by the judge card)
        remains.

        Raises:
            EngineStartError: With one line that says what to do.
        """
        ...

    async def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Completion | EngineError]:
        """Complete every prompt. One prompt's failure is its own entry and costs no other prompt."""
        ...

    async def probe(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> list[LabelReading | EngineError]:
        """Read the log-probabilities of `labels` as the next token after every prompt, without decoding."""
        ...

    def backends(self) -> Sequence[Backend]:
        """The servers it spreads its work over; none where it works itself."""
        ...

    async def check(self) -> None:
        """Return if the engine is alive.

        Raises:
            EngineDeadError: It is not.
        """
        ...

    async def close(self) -> None:
        """Abort what is running and free everything."""
        ...
