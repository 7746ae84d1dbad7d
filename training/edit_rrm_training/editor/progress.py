"""What a run shows on a terminal while it works: steps done, what the last one was worth, and what is under way."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class Counted(Protocol):
    """Is told how far something is."""

    def __call__(self, done: int, total: int, /) -> None:
        """`done` of `total` pieces are done."""


def unheard(done: int, total: int) -> None:
    """Nobody wants to know."""


class RunProgress(AbstractContextManager["RunProgress"]):
    """Two bars on standard error: the steps, and the part of a step that is under way.

    Shown from the first thing that is told, so that of several processes only the one that tells shows any. What is
    printed meanwhile appears above the bars.
    """

    def __init__(self, steps: int, console: Console | None = None) -> None:
        """Show a run of so many steps, if the console is a terminal."""
        self._console = console or Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[told]}", markup=False, style="dim"),
            console=self._console,
        )
        self._whole = self._bars.add_task("steps", total=steps, told="")
        self._stepped = False
        self._part: tuple[str, TaskID] | None = None

    @property
    def shown(self) -> bool:
        """Whether anybody can see it; where not, a line a step is worth printing."""
        return self._console.is_terminal

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Leave the last state on the terminal."""
        self._bars.stop()

    def __enter__(self) -> Self:
        return self

    def doing(self, what: str, done: int, total: int) -> None:
        """Show that `done` of `total` pieces of a part of a step, such as sampling, are done."""
        self._begin()
        if self._part is None or self._part[0] != what:
            if self._part is not None:
                self._bars.remove_task(self._part[1])
            self._part = what, self._bars.add_task(what, total=total, told="")
        self._bars.update(self._part[1], completed=done, total=total)

    def stepped(self, done: int, told: str) -> None:
        """Show that so many steps are done, and what is worth knowing of the last one."""
        self._begin()
        if not self._stepped:  # a resumed run's earlier steps say nothing of how fast this one is
            self._bars.reset(self._whole)
        self._stepped = True
        self._bars.update(self._whole, completed=done, told=told)

    def _begin(self) -> None:
        if self.shown:
            self._bars.start()
