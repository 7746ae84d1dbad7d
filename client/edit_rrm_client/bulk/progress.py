"""How a run tells how far it is: a bar for people, a line every so often for logs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from threading import Lock
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from edit_rrm.verdicts import Reward

EVERY_S = 30.0


class Progress(Protocol):
    """Is told what a run does."""

    def begin(self, rows: int, done: int) -> None:
        """So many rows there are, and so many of them were done before."""

    def seen(self, results: Sequence[Reward]) -> None:
        """These rows ended."""


class Silent:
    """Says nothing."""

    def begin(self, rows: int, done: int) -> None:
        """Nothing."""

    def seen(self, results: Sequence[Reward]) -> None:
        """Nothing."""


class Counted:
    """Counts, and has somebody tell."""

    def __init__(self, tell: Callable[[Counted], None], clock: Callable[[], float] = time.monotonic) -> None:
        """Count from now on.

        Args:
            tell: Called after every change.
            clock: Seconds.
        """
        self.rows = self.done = self.judged = 0
        self.outcomes: Counter[str] = Counter()
        self._tell = tell
        self._clock = clock
        self._began = clock()
        self._lock = Lock()

    def begin(self, rows: int, done: int) -> None:
        """So many rows there are, and so many of them were done before."""
        self.rows, self.done, self._began = rows, done, self._clock()
        self._tell(self)

    def seen(self, results: Sequence[Reward]) -> None:
        """These rows ended."""
        with self._lock:
            self.outcomes.update(one.outcome.value for one in results)
            self.judged += len(results)
            self.done += len(results)
        self._tell(self)

    @property
    def rate(self) -> float:
        """Rows a second since the beginning."""
        return self.judged / max(1e-9, self._clock() - self._began)

    def text(self) -> str:
        """Rows a second and outcomes, for people."""
        counts = ", ".join(f"{count} {name}" for name, count in self.outcomes.most_common())
        return f"{self.rate:.1f} rows/s" + (f"; {counts}" if counts else "")


class Lines:
    """A line every so often, where nobody looks at a terminal."""

    def __init__(
        self, write: Callable[[str], None], every_s: float = EVERY_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Write lines to `write`, no two within `every_s` seconds."""
        self._write = write
        self._every_s = every_s
        self._clock = clock
        self._last = clock()

    def __call__(self, counted: Counted) -> None:
        """Tell, if it is time."""
        if self._clock() - self._last < self._every_s:
            return
        self._last = self._clock()
        left = ""
        if counted.judged:
            seconds = round((counted.rows - counted.done) / counted.rate)
            left = f", {timedelta(seconds=seconds)} left"
        self._write(f"{counted.done} of {counted.rows} rows{left}; {counted.text()}")


@contextmanager
def shown(console: Console, quiet: bool = False) -> Iterator[Progress]:
    """Progress on a console: a bar on a terminal, lines elsewhere.

    Args:
        console: Should be standard error, so that standard output stays the report's.
        quiet: Show nothing.
    """
    if quiet:
        yield Silent()
    elif not console.is_terminal:
        yield Counted(Lines(lambda line: console.print(line, soft_wrap=True, markup=False, highlight=False)))
    else:
        columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
        with Bar(*columns, console=console) as bar:
            task = bar.add_task("", total=None)
            yield Counted(
                lambda counted: bar.update(task, total=counted.rows, completed=counted.done, description=counted.text())
            )
