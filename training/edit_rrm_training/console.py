"""What the commands of the training share: one line for a failure, bars for progress."""

from __future__ import annotations

from typing import NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def fail(line: str) -> NoReturn:
    """End the command with one line on standard error."""
    typer.echo(f"edit-rrm: {line}", err=True)
    raise SystemExit(1)


def progress_bars() -> Progress:
    """Bars on standard error, for long work."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
