"""The `edit-rrm data cold-start` command. Heavy imports happen inside it, so that `--help` is quick."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import TaskID
from rich.table import Table

from edit_rrm_training.commands.terminal import fail, progress_bar

_READINGS = {
    "first_that_parses": "without verifier",
    "closest_to_gold": "with verifier",
    "all_candidates": "(all candidates)",
    "best_candidate": "(best candidate, by the truth)",
    "gold": "(the verifier's own)",
}


def cold_start_command(
    data: Annotated[str, typer.Option(help="Rows: shapes:SPLIT, a parquet file, or a dataset's folder.")],
    teachers: Annotated[str, typer.Option(help="A configuration that ships with the package (noisy), or a YAML file.")],
    out: Annotated[Path, typer.Option(help="Folder of the run. Run again with the same one to go on.")],
    n: Annotated[int | None, typer.Option("--n", min=1, help="How many rows to take; all by default.")] = None,
    verifier: Annotated[
        bool, typer.Option("--verifier/--no-verifier", help="Select by gold verdicts, or the first that parses.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole report as JSON.")] = False,
) -> None:
    """Make an SFT set for a judge: principles, candidates by several teachers, gold verdicts, selection.

    \b
    On the shapes world, with teachers that err (the second reuses the first one's steps 1 and 2):
        edit-rrm data cold-start --data shapes:train --n 1000 --teachers noisy --out build/cold-start
        edit-rrm data cold-start --data shapes:train --n 1000 --teachers noisy --out build/cold-start --no-verifier

    \b
    On edits of your own, with the teachers of a YAML file (docs/cold-start.md):
        edit-rrm data cold-start --data edits.parquet --teachers teachers.yaml --out build/sft

    \b
    Look at what came out:
        python -c "import datasets; print(datasets.load_dataset('build/cold-start/dataset', 'judge'))"
    """
    from edit_rrm_training.judge.cold_start.config import load_config
    from edit_rrm_training.judge.cold_start.errors import ColdStartError
    from edit_rrm_training.judge.cold_start.run import cold_start

    try:
        with ExitStack() as stack:
            bars, tasks = progress_bar(), dict[str, TaskID]()

            def progress(step: str, done: int, total: int | None) -> None:
                if not tasks:
                    # Not before there is something to show: wrong arguments then leave one line and nothing else.
                    stack.enter_context(bars)
                if step not in tasks:
                    tasks[step] = bars.add_task(step, total=total)
                bars.update(tasks[step], completed=done)

            report = cold_start(load_config(teachers), data, out, count=n, verified=verifier, progress=progress)
    except ColdStartError as error:
        fail(str(error))
    if as_json:
        typer.echo(json.dumps(report, indent=2))
    else:
        _print(report, n)


def _print(report: dict[str, Any], wanted: int | None) -> None:
    console = Console()
    for name in ("input", "candidates", "gold", "rows"):
        if report[name]:
            fates = ", ".join(f"{count} {fate}" for fate, count in report[name].items())
            console.print(f"{name}: {fates}", markup=False, highlight=False)
    taken = sum(report["rows"].values())
    if wanted is not None and taken < wanted:
        console.print(f"the input ended before {wanted} rows of the mix were found: {taken} taken", markup=False)
    found = report["truthfulness"]
    if found is not None:
        table = Table(
            title=f"Verdicts equal to the oracle's, {found['rows']} rows (95% intervals)", title_justify="left"
        )
        for heading in ("selection", "verdicts", "on unmet principles", "all verdicts of a row"):
            table.add_column(heading)
        for name, told in _READINGS.items():
            if name in found:
                figures = (found[name][figure] for figure in ("accuracy", "accuracy_on_unmet", "all_right"))
                table.add_row(told, *map(_share, figures))
        console.print(table)
    kept = ", ".join(f"{count} {teacher}" for teacher, count in report["teachers"].items())
    console.print(f"selected candidates: {kept}", markup=False, highlight=False)
    written = report["written"]
    console.print(
        f"{written['judge']} judge rows and {written['decompose']} decompose rows: {report['dataset']}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    if any(fate.startswith("unanswered") for fate in report["rows"]):
        console.print("some rows got no answer: run the same command again to ask for them", markup=False)


def _share(share: dict[str, Any]) -> str:
    if share["value"] is None:
        return "none counted"
    return f"{share['value']:.1%} ({share['low']:.1%} to {share['high']:.1%})"
