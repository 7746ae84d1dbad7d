"""From a configuration to teachers in their roles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from edit_rrm_training.judge.cold_start.config import ColdStartConfig, OpenAiTeacher, ServiceTeacher, ShapesTeacher
from edit_rrm_training.judge.cold_start.teachers.base import (
    Classifier,
    FullTeacher,
    JudgingTeacher,
    PrincipleWriter,
    Thinker,
    Verifier,
)

if TYPE_CHECKING:
    from edit_rrm_training.judge.cold_start.teachers.chat import ChatHost
    from edit_rrm_training.judge.cold_start.teachers.served import ServedTeacher


class _Closable(Protocol):
    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Staff:
    """Everyone a run asks."""

    writer: PrincipleWriter
    thinkers: tuple[Thinker, ...]
    """One per candidate of a row: a pool entry with several samples is in here as often."""
    verifier: Verifier | None
    classifier: Classifier | None
    connections: tuple[_Closable, ...] = ()

    async def close(self) -> None:
        """Close all connections."""
        for connection in self.connections:
            await connection.close()


def hire(config: ColdStartConfig, *, verified: bool) -> Staff:
    """Connect to the teachers a run needs, and no others.

    Must be called where an event loop runs.

    Raises:
        ColdStartError: A key is missing, or a URL cannot be used.
    """
    hired = _Hired(config)
    candidates = config.candidates
    verifier = config.verifier if verified else None
    mix = config.mix if config.mix.hard > 0.0 else None
    return Staff(
        writer=hired.get(config.principles.teacher, config.principles.temperature),
        thinkers=tuple(
            hired.get(step.teacher, step.temperature, step.variant) for step in candidates for _ in range(step.samples)
        ),
        verifier=None if verifier is None else hired.get_full(verifier.teacher, verifier.temperature),
        classifier=None if mix is None else hired.get_full(str(mix.classifier), mix.temperature),
        connections=hired.connections,
    )


class _Hired:
    def __init__(self, config: ColdStartConfig) -> None:
        # The openai library takes half a second to import, and a run on shapes needs none of it.
        from edit_rrm_training.judge.cold_start.teachers.oracle import ShapesReader

        self._shapes = {
            name: ShapesReader(name, teacher.noise)
            for name, teacher in config.teachers.items()
            if isinstance(teacher, ShapesTeacher)
        }
        self._config = config
        self._hosts: dict[str, ChatHost] = {}
        self._services: dict[str, ServedTeacher] = {}

    @property
    def connections(self) -> tuple[_Closable, ...]:
        return (*self._hosts.values(), *self._services.values())

    def get(self, name: str, temperature: float | None, variant: str | None = None) -> JudgingTeacher:
        teacher = self._config.teachers[name]
        if isinstance(teacher, ServiceTeacher):
            from edit_rrm_training.judge.cold_start.teachers.served import ServedTeacher

            if name not in self._services:
                self._services[name] = ServedTeacher(name, teacher)
            return self._services[name]
        return self.get_full(name, temperature, variant)

    def get_full(self, name: str, temperature: float | None, variant: str | None = None) -> FullTeacher:
        teacher = self._config.teachers[name]
        if isinstance(teacher, OpenAiTeacher):
            from edit_rrm_training.judge.cold_start.teachers.chat import ChatHost, ChatTeacher

            if name not in self._hosts:
                self._hosts[name] = ChatHost(name, teacher)
            assert temperature is not None
            return ChatTeacher(self._hosts[name], temperature, variant)
        return self._shapes[name]
