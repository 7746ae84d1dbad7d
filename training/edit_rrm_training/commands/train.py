"""`edit-rrm train sft` and `train gcpo`. Heavy imports happen inside, so that `--help` is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edit_rrm_training.commands.terminal import fail


def train_sft_command(
    out: Annotated[Path, typer.Option(help="Folder for checkpoints and the finished judge (OUT/judge).")],
    recipe: Annotated[str, typer.Option(help="A recipe that ships with the package (nano), or a YAML file.")] = "nano",
    init_from: Annotated[Path | None, typer.Option(help="Go on from this judge instead of random weights.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Override the recipe's number of steps.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads to use.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ignore checkpoints in OUT instead of resuming.")] = False,
) -> None:
    """Train a small judge on the oracle's trajectories; run again to resume after an interruption.

    \b
    The shipped judge, from nothing:
        edit-rrm train sft --recipe nano --out build/nano
        edit-rrm train sft --recipe nano-polish --init-from build/nano/judge --out build/nano-polish
        edit-rrm serve --model build/nano-polish/judge
    """
    import torch

    from edit_rrm_training.judge.checkpoints import DivergedError
    from edit_rrm_training.judge.recipes import load_recipe
    from edit_rrm_training.judge.sft import SftRecipe, train_sft

    overrides = {"steps": steps, "init_from": None if init_from is None else str(init_from)}
    try:
        chosen = load_recipe(recipe, SftRecipe, **_given(overrides))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--recipe") from None
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        judge = train_sft(chosen, out, resume=not fresh)
    except (OSError, ValueError, DivergedError) as error:
        fail(str(error))
    typer.echo(f"judge: {judge}\nserve it: edit-rrm serve --model {judge}")


def train_gcpo_command(
    init_from: Annotated[Path, typer.Option(help="The judge to start from: a folder that SFT wrote.")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints and the finished judge (OUT/judge).")],
    recipe: Annotated[str, typer.Option(help="A shipped recipe (nano-gcpo), or a YAML file.")] = "nano-gcpo",
    steps: Annotated[int | None, typer.Option(min=1, help="Override the recipe's number of steps.")] = None,
    seed: Annotated[int | None, typer.Option(help="Override the recipe's seed.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ignore checkpoints in OUT instead of resuming.")] = False,
) -> None:
    """Train a judge on preference pairs (GCPO); run again to resume after an interruption.

    \b
    The shipped judge's last stage:
        edit-rrm train gcpo --init-from build/nano-polish/judge --out build/nano-gcpo

    \b
    On several devices:
        accelerate launch --num_processes 8 "$(which edit-rrm)" train gcpo \\
            --recipe my.yaml --init-from sft/judge --out gcpo
    """
    from edit_rrm_training.judge.checkpoints import DivergedError
    from edit_rrm_training.judge.gcpo import train_gcpo
    from edit_rrm_training.judge.gcpo_recipe import GcpoRecipe
    from edit_rrm_training.judge.recipes import load_recipe

    overrides = {"steps": steps, "seed": seed}
    try:
        chosen = load_recipe(recipe, GcpoRecipe, **_given(overrides))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--recipe") from None
    try:
        judge = train_gcpo(chosen, init_from, out, resume=not fresh)
    except (OSError, ValueError, DivergedError) as error:
        fail(str(error))
    typer.echo(f"judge: {judge}\nserve it: edit-rrm serve --model {judge}")


def _given(overrides: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in overrides.items() if value is not None}
