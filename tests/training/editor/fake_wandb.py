"""What of W&B accelerate's tracker calls, kept in memory: the package itself is no part of what is installed."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from accelerate import tracking
from accelerate.utils import LoggerType


class FakeWandb(ModuleType):
    """A module of the name."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.begun: list[dict[str, Any]] = []
        self.settings: dict[str, Any] = {}
        self.logged: list[tuple[int, dict[str, Any]]] = []
        self.finished = 0
        self.breaks: Exception | None = None
        self.config = SimpleNamespace(update=self._configure)

    def init(self, **arguments: Any) -> FakeWandb:
        self.begun.append(arguments)
        return self

    def log(self, values: dict[str, Any], step: int) -> None:
        if self.breaks is not None:
            raise self.breaks
        self.logged.append((step, values))

    def finish(self) -> None:
        self.finished += 1
        if self.breaks is not None:
            raise self.breaks

    def Image(self, pixels: Any) -> Any:
        return np.asarray(pixels)

    def Table(self, columns: Any, data: Any, dataframe: Any) -> Any:
        return SimpleNamespace(columns=columns, data=data)

    def _configure(self, values: dict[str, Any], allow_val_change: bool) -> None:
        self.settings |= values


def install(monkeypatch: pytest.MonkeyPatch) -> FakeWandb:
    """Let accelerate find it, for as long as a test takes."""
    made = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", made)
    monkeypatch.setattr(tracking, "_available_trackers", [LoggerType.TENSORBOARD, LoggerType.WANDB])
    return made
