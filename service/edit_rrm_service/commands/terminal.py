"""What the commands that ask a service share: their options, a service to ask, and how they fail."""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn, get_args

import typer

from edit_rrm_service.engines.options import EngineName


def known_engine(name: str | None) -> str | None:
    """An engine's name, or the options' own error."""
    if name is not None and name not in get_args(EngineName):
        raise typer.BadParameter(f"{name!r} is none of {', '.join(get_args(EngineName))}")
    return name


Model = Annotated[str | None, typer.Option(help="Checkpoint folder or hub name; the shipped judge by default.")]
Engine = Annotated[
    str | None, typer.Option(callback=known_engine, help="auto, vllm, transformers or openai. [default: auto]")
]
Key = Annotated[str | None, typer.Option(envvar="EDIT_RRM_API_KEY", help="Key for the service, if it wants one.")]


@contextmanager
def serving(urls: Sequence[str], model: str | None, engine: str | None) -> Iterator[list[str]]:
    """The services asked for, or one of our own for as long as the command runs."""
    if urls:
        yield list(urls)
        return
    from edit_rrm_client.local import LocalServiceError, local_service

    # Or a SIGTERM would end this command and leave its service behind.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    flags = [*(["--model", model] if model else []), *(["--engine", engine] if engine else [])]
    with tempfile.TemporaryDirectory() as folder:
        typer.echo("starting a service for this command (use --url to keep one)", err=True)
        try:
            with local_service(flags, log=Path(folder) / "server.log") as started:
                yield [started]
        except LocalServiceError as error:
            fail(str(error))


def fail(line: str) -> NoReturn:
    """End the command with one line on standard error and status 1."""
    typer.echo(f"edit-rrm: {line}", err=True)
    raise SystemExit(1)
