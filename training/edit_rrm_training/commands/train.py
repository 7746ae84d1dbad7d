"""`edit-rrm train sft` and `train gcpo`. Heavy imports happen inside, so that `--help` is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edit_rrm_training.commands.terminal import fail


def train_sft_command(
    out: Annotated[Path, typer.Option(help="Folder for checkpoints and the finished judge (OUT/judge).")],
    recipe: Annotated[
        str | None, typer.Option(help="A shipped recipe, or a YAML file. [default: nano; with --data sft]")
    ] = None,
    init_from: Annotated[
        str | None, typer.Option(help="Go on from this judge's folder, or with --data from a hub model too.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="An SFT set (OUT/dataset of data cold-start) instead of the oracle's answers.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Override the recipe's number of steps.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads to use.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete the run in OUT instead of resuming it.")] = False,
) -> None:
    """Train a judge to decompose and to verify (SFT); run again to resume after an interruption.

    \b
    A pretrained VLM on a set of verified reasoning, on 8 GPUs (docs/training.md):
        accelerate launch --config_file examples/judge/fsdp.yaml "$(which edit-rrm)" train sft \\
            --init-from Qwen/Qwen2.5-VL-7B-Instruct --data build/cold-start/dataset --out build/sft

    \b
    The shipped judge, from nothing, on the shapes world's oracle:
        edit-rrm train sft --recipe nano --out build/nano
        edit-rrm train sft --recipe nano-polish --init-from build/nano/judge --out build/nano-polish
        edit-rrm serve --model build/nano-polish/judge
    """
    import torch

    from edit_rrm_training.judge.checkpoints import DivergedError

    if data is not None and init_from is None:
        raise typer.BadParameter("--data needs a model to start from", param_hint="--init-from")
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        if data is None:
            judge = _train_on_the_oracle(recipe or "nano", init_from, steps, out, resume=not fresh)
        else:
            judge = _train_on_a_set(recipe or "sft", str(init_from), data, steps, out, resume=not fresh)
    except (OSError, ValueError, DivergedError) as error:
        fail(str(error))
    typer.echo(f"judge: {judge}\nserve it: edit-rrm serve --model {judge}")


def _train_on_the_oracle(name: str, init_from: str | None, steps: int | None, out: Path, *, resume: bool) -> Path:
    from edit_rrm_training.judge.recipes import load_recipe
    from edit_rrm_training.judge.sft import SftRecipe, train_sft

    try:
        recipe = load_recipe(name, SftRecipe, **_given({"steps": steps, "init_from": init_from}))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--recipe") from None
    return train_sft(recipe, out, resume=resume)


def _train_on_a_set(name: str, init_from: str, data: Path, steps: int | None, out: Path, *, resume: bool) -> Path:
    from edit_rrm_training.judge.recipes import load_recipe
    from edit_rrm_training.judge.vlm_sft import train_vlm_sft
    from edit_rrm_training.judge.vlm_sft_recipe import VlmSftRecipe

    try:
        recipe = load_recipe(name, VlmSftRecipe, **_given({"steps": steps}))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--recipe") from None
    return train_vlm_sft(recipe, init_from, data, out, resume=resume)


def train_gcpo_command(
    init_from: Annotated[Path, typer.Option(help="The judge to start from: a folder that SFT wrote.")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints and the finished judge (OUT/judge).")],
    recipe: Annotated[str, typer.Option(help="A shipped recipe (nano-gcpo), or a YAML file.")] = "nano-gcpo",
    data: Annotated[str | None, typer.Option(help="Override the recipe's pairs: shapes:SPLIT or pairs:PATH.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Override the recipe's number of steps.")] = None,
    seed: Annotated[int | None, typer.Option(help="Override the recipe's seed.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete the run in OUT instead of resuming it.")] = False,
) -> None:
    """Train a judge on preference pairs (GCPO); run again to resume after an interruption.

    \b
    A small judge on the shapes world, half an hour on one CPU core:
        edit-rrm train gcpo --init-from build/nano-sft/judge --out build/nano-gcpo

    \b
    On several devices:
        accelerate launch --num_processes 8 "$(which edit-rrm)" train gcpo \\
            --recipe gcpo --data pairs:pairs.parquet --init-from build/sft/judge --out build/gcpo
    """
    from edit_rrm_training.judge.checkpoints import DivergedError
    from edit_rrm_training.judge.gcpo import train_gcpo
    from edit_rrm_training.judge.gcpo_recipe import GcpoRecipe
    from edit_rrm_training.judge.pairs.sources.table import DataError
    from edit_rrm_training.judge.recipes import load_recipe

    overrides = {"data": data, "steps": steps, "seed": seed}
    try:
        chosen = load_recipe(recipe, GcpoRecipe, **_given(overrides))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--recipe") from None
    try:
        judge = train_gcpo(chosen, init_from, out, resume=not fresh)
    except (OSError, ValueError, DataError, DivergedError) as error:
        fail(str(error))
    typer.echo(f"judge: {judge}\nserve it: edit-rrm serve --model {judge}")


def _given(overrides: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in overrides.items() if value is not None}
