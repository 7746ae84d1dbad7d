"""`edit-rrm eval verdicts`. Heavy imports happen inside, so that `--help` is quick."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from edit_rrm_training.commands.splits import SPLIT_NAMES, check_split
from edit_rrm_training.commands.terminal import fail, progress_bar

_LOCAL_ENGINES = ("auto", "vllm", "transformers")


def eval_verdicts(
    split: Annotated[str, typer.Option(help=f"Which split: {SPLIT_NAMES}.")] = "held-out",
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

    check_split(split)
    try:
        card = load_card(Path(model)) if record and model is not None and url is None else None
    except CardError as error:
        fail(str(error))
    if record and card is None:
        raise typer.BadParameter("it needs --model FOLDER with a judge card, and no --url", param_hint="--record")
    if engine not in _LOCAL_ENGINES:
        raise typer.BadParameter(f"{engine!r} is none of {', '.join(_LOCAL_ENGINES)}", param_hint="--engine")
    try:
        with serving(url, model, engine) as base, ServedJudge(base, api_key) as judge, progress_bar() as bar:
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
