"""How the training commands talk to a terminal."""

from __future__ import annotations

from typing import NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def fail(line: str) -> NoReturn:
    """End the command with one line on standard error and status 1."""
    typer.echo(f"edit-rrm: {line}", err=True)
    raise SystemExit(1)


def progress_bar() -> Progress:
    """A progress bar on standard error, so that standard output stays the report's."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
