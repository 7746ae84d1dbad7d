"""What the steps ask of a teacher. All answers are text, read by pure functions elsewhere.

Every method raises `AnswerError` where the answer cannot be used, `UnavailableError` where there is none this time, and
`ColdStartError` where asking on is pointless (a wrong key, an unknown model).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from edit_rrm.principles import Principle
from edit_rrm_training.judge.cold_start.exemplars import Exemplar
from edit_rrm_training.judge.cold_start.rows import EditRow


@dataclass(frozen=True, slots=True)
class Source:
    """Who answered, and asked how; goes into every record."""

    teacher: str
    """Its name in the configuration."""
    model: str
    variant: str | None = None
    temperature: float | None = None


class PrincipleWriter(Protocol):
    """Step 1."""

    @property
    def source(self) -> Source:
        """Who this is."""
        ...

    @property
    def takes_exemplars(self) -> bool:
        """Whether exemplars reach it; they are recorded only then."""
        ...

    async def write(self, row: EditRow, exemplars: Sequence[Exemplar], seed: int) -> str:
        """Principles, in a form that `edit_rrm.grammar.parse_principles` reads."""
        ...


class Thinker(Protocol):
    """Step 2."""

    @property
    def source(self) -> Source:
        """Who this is."""
        ...

    async def think(self, row: EditRow, principles: Sequence[Principle], seed: int) -> str:
        """Reasoning, verdicts and a score, in a form that `edit_rrm.grammar.parse_judgement` reads."""
        ...


class Verifier(Protocol):
    """Step 3."""

    @property
    def source(self) -> Source:
        """Who this is."""
        ...

    async def verify(self, row: EditRow, principles: Sequence[Principle], hints: Sequence[str], seed: int) -> str:
        """Gold verdicts, in the form that `gold.parse_gold` reads; `hints` is what the candidates wrote."""
        ...


class Classifier(Protocol):
    """Tells hard instructions."""

    @property
    def source(self) -> Source:
        """Who this is."""
        ...

    async def classify(self, row: EditRow, seed: int) -> str:
        """``{"hard": ..., "because": [...]}``, as `mixing.parse_triage` reads it."""
        ...


class JudgingTeacher(PrincipleWriter, Thinker, Protocol):
    """Can do what an Edit-RRM service can."""


class FullTeacher(JudgingTeacher, Verifier, Classifier, Protocol):
    """Can do everything."""
