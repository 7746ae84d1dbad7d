"""The `edit-rrm data`, `train` and `eval` commands. Heavy imports happen inside them, so that `--help` is quick."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from edit_rrm_training.console import fail, progress_bars
from edit_rrm_training.judge.cold_start.cli import cold_start_command

data_app = typer.Typer(help="Make data: the shapes world, SFT sets.", no_args_is_help=True, rich_markup_mode=None)
train_app = typer.Typer(help="Train judges.", no_args_is_help=True, rich_markup_mode=None)
eval_app = typer.Typer(help="Measure judges.", no_args_is_help=True, rich_markup_mode=None)

_LOCAL_ENGINES = ("auto", "vllm", "transformers")
_SPLITS = "train, validation, held-out, held-out-combinations or held-out-phrasings"


@data_app.callback()
@train_app.callback()
@eval_app.callback()
def _group() -> None:
    """Keep sub-commands even where a group has only one."""


@data_app.command("shapes")
def data_shapes(
    split: Annotated[str, typer.Option(help=f"Which split: {_SPLITS}.")] = "train",
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
    _check_split(split)
    indices = range(first, first + n)
    try:
        if sheet is not None:
            sheet.parent.mkdir(parents=True, exist_ok=True)
            contact_sheet((make(split, index) for index in indices), columns).save(sheet)
            typer.echo(f"contact sheet of {n} samples: {sheet}")
        if out is not None:
            with progress_bars() as bar:
                task = bar.add_task("writing samples", total=n)
                export_samples(split, indices, out, lambda: bar.advance(task))
            typer.echo(f"{n} samples: {out / 'samples.jsonl'}")
    except OSError as error:
        fail(str(error))


data_app.command("cold-start")(cold_start_command)


@train_app.command("sft")
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

    from edit_rrm_training.judge.recipes import load_recipe
    from edit_rrm_training.judge.sft import train_sft

    overrides = {"steps": steps, "init_from": None if init_from is None else str(init_from)}
    try:
        chosen = load_recipe(recipe, **{name: value for name, value in overrides.items() if value is not None})
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--recipe") from None
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        judge = train_sft(chosen, out, resume=not fresh)
    except (OSError, ValueError) as error:
        fail(str(error))
    typer.echo(f"judge: {judge}\nserve it: edit-rrm serve --model {judge}")


@eval_app.command("verdicts")
def eval_verdicts(
    split: Annotated[str, typer.Option(help=f"Which split: {_SPLITS}.")] = "held-out",
    n: Annotated[int, typer.Option("--n", min=1, help="How many samples.")] = 2_000,
    url: Annotated[str | None, typer.Option(help="A running service. Left out, one is started for this.")] = None,
    model: Annotated[str | None, typer.Option(help="Judge to serve without --url; the shipped one by default.")] = None,
    engine: Annotated[str, typer.Option(help="Engine to serve it with: auto, vllm or transformers.")] = "auto",
    api_key: Annotated[str | None, typer.Option(envvar="EDIT_RRM_API_KEY", help="The service's key, if any.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Samples in flight at a time.")] = 32,
    probe: Annotated[bool, typer.Option(help="Measure mode `probe` too.")] = True,
    record: Annotated[bool, typer.Option("--record", help="Write the figures into the judge card of --model.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole report as JSON.")] = False,
) -> None:
    """Measure how often a judge's verdicts are true on the shapes world, through the service's own HTTP.

    \b
    The shipped judge, as its card reports it:
        edit-rrm eval verdicts --split held-out --n 2000 --json

    \b
    A running service:
        edit-rrm eval verdicts --url http://localhost:8000 --n 200

    \b
    A judge of your own, with the figures kept in its card:
        edit-rrm eval verdicts --model build/nano/judge --record
    """
    from edit_rrm.card import CardError, load_card, save_card
    from edit_rrm_client import RewardClientError
    from edit_rrm_client.local import LocalServiceError
    from edit_rrm_training.judge.judge_client import ServedJudge, serving
    from edit_rrm_training.judge.verdict_eval import evaluate_verdicts, headline

    _check_split(split)
    try:
        card = load_card(Path(model)) if record and model is not None and url is None else None
    except CardError as error:
        fail(str(error))
    if record and card is None:
        raise typer.BadParameter("it needs --model FOLDER with a judge card, and no --url", param_hint="--record")
    if engine not in _LOCAL_ENGINES:
        raise typer.BadParameter(f"{engine!r} is none of {', '.join(_LOCAL_ENGINES)}", param_hint="--engine")
    try:
        with serving(url, model, engine) as base, ServedJudge(base, api_key) as judge, progress_bars() as bar:
            # Asked first: a service that is not there is found out before a sample is made.
            identity = judge.identity()
            task = bar.add_task(f"{split}: judging", total=n)
            report: dict[str, Any] = evaluate_verdicts(
                judge, split, n, workers=workers, probe=probe, progress=lambda done: bar.update(task, completed=done)
            )
            report["identity"] = identity
    except (RewardClientError, LocalServiceError) as error:
        fail(str(error))
    if card is not None:
        measured = {**card.metrics, split: headline(report)}
        save_card(card.model_copy(update={"metrics": measured}), Path(str(model)))
    if as_json:
        typer.echo(json.dumps(report, indent=2))
    else:
        _print_report(report)


def _print_report(report: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(title=f"{report['split']}, {report['samples']} samples (95% intervals)", title_justify="left")
    for heading in ("figure", "share", "interval"):
        table.add_column(heading)
    rows = [("always answering yes", report["always_yes"])]
    for mode in ("think", "probe"):
        if mode in report:
            rows.append((f"{mode}: verdict accuracy", report[mode]["accuracy"]))
            rows.append((f"{mode}: accuracy on unmet principles", report[mode]["recall_of_no"]))
            rows.append((f"{mode}: scored", report[mode]["scored"]))
    rows.append(("decompose: equals the oracle's", report["decompose"]["exact"]))
    for name, share in rows:
        if share["value"] is None:
            table.add_row(name, "none counted", "")
        else:
            table.add_row(name, f"{share['value']:.2%}", f"{share['low']:.2%} to {share['high']:.2%}")
    Console().print(table)


def _check_split(split: str) -> None:
    from edit_rrm_training.shapes import SPLITS

    if split not in SPLITS:
        raise typer.BadParameter(f"no split {split!r}; there are: {', '.join(SPLITS)}", param_hint="--split")
