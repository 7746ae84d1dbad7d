"""`edit-rrm plot editor`. Heavy imports happen inside, so that `--help` is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edit_rrm_training.commands.terminal import fail


def plot_editor_command(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN", help="Folders of runs, or NAME=FOLDER to call one differently.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The picture to write: .png or .svg.")],
) -> None:
    """Draw how runs of `train editor` went: rewards, held-out measures, and the seconds of a step.

    A judge that is fooled shows as a reward that rises while the held-out measures fall.

    \b
    A run, also while it is going on:
        edit-rrm plot editor build/editor --out curves.png

    \b
    Two of them in one picture, under names of your own:
        edit-rrm plot editor before=runs/1 "with KL=runs/2" --out curves.svg
    """
    from edit_rrm_training.editor.curves import SUFFIXES, CurvesError, draw, read_run

    if out.suffix.lower() not in SUFFIXES:
        raise typer.BadParameter(f"{out} does not end in {' or '.join(SUFFIXES)}", param_hint="--out")
    try:
        found = [read_run(folder, name) for folder, name in map(_named, runs)]
        out.parent.mkdir(parents=True, exist_ok=True)
        draw(found, out)
    except (CurvesError, OSError) as error:
        fail(str(error))
    typer.echo(str(out))


def _named(run: str) -> tuple[Path, str | None]:
    """A run's folder and what it is called, if anything; a folder that has an equals sign in its name is a folder."""
    name, given, folder = run.partition("=")
    if not given or Path(run).is_dir():
        return Path(run), None
    return Path(folder), name or None
