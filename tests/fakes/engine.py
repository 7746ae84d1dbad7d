"""An engine that says what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edit_rrm_service.engines.base import (
    Backend,
    Completion,
    EngineDeadError,
    EngineError,
    EngineFacts,
    EngineImage,
    LabelReading,
    Prompt,
    Sampling,
)

PRINCIPLES = (
    '[{"question": "Is the star blue?", "category": "instruction_following"},'
    ' {"question": "Is the rest as it was?", "category": "feature_preservation"},'
    ' {"question": "Is it sharp?", "category": "image_quality"}]'
)
GOOD = "1. it is blue: yes\n2. all there: yes\n3. sharp: yes\nverdicts: 1 1 1\n<score>9.5</score>"
COLLATERAL = "1. it is blue: yes\n2. a circle is gone: no\n3. sharp: yes\nverdicts: 1 0 1\n<score>6.0</score>"

Answer = str | Completion | EngineError


def pictures(prompt: Prompt) -> list[EngineImage]:
    """The images of a prompt, in order."""
    return [part for part in prompt.parts if isinstance(part, EngineImage)]


def words(prompt: Prompt) -> str:
    """The text of a prompt's user turn."""
    return "".join(part for part in prompt.parts if isinstance(part, str))


def written(text: str, finish: str = "stop") -> Completion:
    """A completion of a text."""
    assert finish in ("stop", "length", "refused")
    return Completion(text, finish, prompt_tokens=100, cached_tokens=60, completion_tokens=20)  # type: ignore[arg-type]  # asserted above


@dataclass
class FakeEngine:
    """Satisfies the `Engine` protocol."""

    decomposition: Answer = PRINCIPLES
    """What it writes where a prompt shows one image."""
    judgement: Callable[[Prompt], Answer] = lambda prompt: GOOD
    """What it writes where a prompt shows two."""
    probability: Callable[[Prompt], float | EngineError] = lambda prompt: 0.9
    """P(yes) of a probe, or why there is none."""
    label_mass: float | Callable[[Prompt], float] = 1.0
    seconds: float | Callable[[Prompt], float] = 0.0
    """Time every call takes, or each prompt."""
    supports_probe: bool = True
    start_error: Exception | None = None
    dead: bool = False
    check_error: Exception | None = None
    labels: tuple[str, ...] = ()
    """What it was started with."""
    generated: list[Prompt] = field(default_factory=list)
    probed: list[Prompt] = field(default_factory=list)
    samplings: list[Sampling] = field(default_factory=list)
    cancelled: int = 0
    closed: bool = False

    @property
    def facts(self) -> EngineFacts:
        return EngineFacts("fake", "fake-model", "0" * 64, "float32", self.supports_probe, {"version": "1"})

    @property
    def decompositions(self) -> int:
        """How often it was asked for principles."""
        return sum(len(pictures(prompt)) == 1 for prompt in self.generated)

    async def start(self, labels: Sequence[str]) -> None:
        if self.start_error is not None:
            raise self.start_error
        self.labels = tuple(labels)

    async def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Completion | EngineError]:
        self.generated += prompts
        self.samplings.append(sampling)
        await self._work(prompts)
        return [self._answer(prompt) for prompt in prompts]

    async def probe(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> list[LabelReading | EngineError]:
        self.probed += prompts
        await self._work(prompts)
        readings: list[LabelReading | EngineError] = []
        for prompt in prompts:
            probability = self.probability(prompt)
            if isinstance(probability, EngineError):
                readings.append(probability)
                continue
            mass = self.label_mass(prompt) if callable(self.label_mass) else self.label_mass
            yes = probability * mass
            logprobs = {"Yes": _log(yes), "No": _log(mass - yes)}
            readings.append(LabelReading({label: logprobs.get(label, -math.inf) for label in labels}, 100, 60))
        return readings

    def backends(self) -> Sequence[Backend]:
        return ()

    async def check(self) -> None:
        if self.dead:
            raise EngineDeadError("the fake engine is dead")
        if self.check_error is not None:
            raise self.check_error

    async def close(self) -> None:
        self.closed = True

    def _answer(self, prompt: Prompt) -> Completion | EngineError:
        answer = self.decomposition if len(pictures(prompt)) == 1 else self.judgement(prompt)
        return written(answer) if isinstance(answer, str) else answer

    async def _work(self, prompts: Sequence[Prompt]) -> None:
        seconds = max(map(self.seconds, prompts)) if callable(self.seconds) else self.seconds
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


def _log(probability: float) -> float:
    return math.log(probability) if probability > 0 else -math.inf
