"""`edit-rrm data shapes`. Heavy imports happen inside, so that `--help` is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edit_rrm_training.commands.splits import SPLIT_NAMES, check_split
from edit_rrm_training.commands.terminal import fail, progress_bar


def data_shapes(
    split: Annotated[str, typer.Option(help=f"Which split: {SPLIT_NAMES}.")] = "train",
    n: Annotated[int, typer.Option("--n", min=1, help="How many samples.")] = 24,
    first: Annotated[int, typer.Option(min=0, help="Index of the first sample.")] = 0,
    sheet: Annotated[Path | None, typer.Option(help="Write a contact sheet (PNG) to this file.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write images and samples.jsonl to this folder.")] = None,
    columns: Annotated[int, typer.Option(min=1, help="Columns of the contact sheet.")] = 4,
) -> None:
    """Make samples of the shapes world: (instruction, source, edited) with the oracle's verdicts and score.

    \b
    A page of them to look at:
        edit-rrm data shapes --sheet shapes.png

    \b
    Images and verdicts as files:
        edit-rrm data shapes --split held-out --n 500 --out build/shapes
    """
    from edit_rrm_training.shapes import make
    from edit_rrm_training.shapes.export import export_samples
    from edit_rrm_training.shapes.sheet import contact_sheet

    if sheet is None and out is None:
        raise typer.BadParameter("say where to: --sheet FILE.png for a picture, --out DIR for the data")
    if sheet is not None and sheet.suffix.lower() != ".png":
        raise typer.BadParameter(f"{sheet} does not end in .png", param_hint="--sheet")
    check_split(split)
    indices = range(first, first + n)
    try:
        if sheet is not None:
            sheet.parent.mkdir(parents=True, exist_ok=True)
            contact_sheet((make(split, index) for index in indices), columns).save(sheet)
            typer.echo(f"contact sheet of {n} samples: {sheet}")
        if out is not None:
            with progress_bar() as bar:
                task = bar.add_task("writing samples", total=n)
                export_samples(split, indices, out, lambda: bar.advance(task))
            typer.echo(f"{n} samples: {out / 'samples.jsonl'}")
    except OSError as error:
        fail(str(error))
