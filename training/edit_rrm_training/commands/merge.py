"""`edit-rrm merge`. Heavy imports happen inside, so that `--help` is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edit_rrm_training.commands.terminal import fail


def merge_command(
    editor: Annotated[
        list[str], typer.Option(help="An editor's folder, OUT/editor of `train editor`. May be repeated: their mean.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the new editor.")],
    scale: Annotated[
        float, typer.Option(min=0.0, help="How far to go from where training began; 1 is where the editors are.")
    ] = 1.0,
) -> None:
    """Make one editor of the editors of several runs, or one that lies further on than training went.

    \b
    Half as far again as a run has gone; choose how far on other tasks than you report:
        edit-rrm merge --editor build/editor/editor --scale 1.5 --out build/further
        edit-rrm eval editor --model build/further --before build/editor/editor --split validation

    \b
    The mean of two runs that began with the same model:
        edit-rrm merge --editor runs/a/editor --editor runs/b/editor --out runs/mean
    """
    from edit_rrm_training.editor.editor_card import EditorError
    from edit_rrm_training.editor.merge import merge_editors

    try:
        merge_editors(editor, out, scale=scale)
    except (EditorError, OSError, ValueError) as error:
        fail(str(error))
    typer.echo(f"editor: {out}")
