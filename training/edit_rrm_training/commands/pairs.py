"""`edit-rrm eval pairs`. Heavy imports happen inside, so that `--help` is quick."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edit_rrm_training.commands.terminal import fail, progress_bar

if TYPE_CHECKING:
    from edit_rrm_training.judge.pairs.pair import Pair, Rejected
    from edit_rrm_training.judge.pairs.run import Store
    from edit_rrm_training.judge.pairs.sources import PairSource

_ENGINES = ("auto", "vllm", "transformers", "openai")
_MODES = ("think", "probe")
_AGGREGATIONS = ("model", "mean", "weighted", "geometric", "min", "product")
_PRINCIPLES = ("decomposed", "oracle")
_TIES = ("wrong", "half", "drop")
_MAX_SAMPLES = 16
_TIMEOUT_S = 600.0


def eval_pairs(
    data: Annotated[
        str, typer.Option(help="Which pairs: shapes:SPLIT, or editscore, tiger, genai or pairs and :PATH.")
    ] = "shapes:held-out",
    n: Annotated[int | None, typer.Option("--n", min=1, help="How many rows. [default: all; of shapes 3000]")] = None,
    url: Annotated[str | None, typer.Option(help="A running service. Left out, one is started for this.")] = None,
    model: Annotated[str | None, typer.Option(help="Judge to serve without --url; the shipped one by default.")] = None,
    engine: Annotated[str, typer.Option(help="Engine to serve it with: auto, vllm, transformers or openai.")] = "auto",
    base_url: Annotated[
        list[str] | None, typer.Option(help="Engine openai: a server that has --model; may be repeated.")
    ] = None,
    api_key: Annotated[str | None, typer.Option(envvar="EDIT_RRM_API_KEY", help="The service's key, if any.")] = None,
    mode: Annotated[str, typer.Option(help="think (reasons, writes a score) or probe (probabilities).")] = "think",
    samples: Annotated[
        int, typer.Option(min=1, max=_MAX_SAMPLES, help="Average this many sampled scores of every edit (Avg@K).")
    ] = 1,
    aggregation: Annotated[
        str | None,
        typer.Option(help="model, mean, weighted, geometric, min or product. [default: the service's for the mode]"),
    ] = None,
    principles: Annotated[
        str, typer.Option(help="decomposed (the judge's own) or oracle (of shapes: the true ones).")
    ] = "decomposed",
    ties: Annotated[str, typer.Option(help="Equal scores count as wrong, as half right, or drop the pair.")] = "wrong",
    out: Annotated[
        Path | None, typer.Option(help="Folder for results and reports; run again to go on after an interruption.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Groups in flight at a time.")] = 32,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole report as JSON.")] = False,
) -> None:
    """Measure how often a judge ranks two edits as people do, through the service's own HTTP.

    \b
    The shipped judge on the shapes world:
        edit-rrm eval pairs --data shapes:held-out --n 3000 --json

    \b
    A running service on EditScore's EditReward-Bench, in a way that survives an interruption:
        edit-rrm eval pairs --url http://localhost:8000 \\
            --data editscore:data/editscore-bench --out build/editscore

    \b
    A judge that a `vllm serve` or a hosted API has, four sampled scores averaged:
        edit-rrm eval pairs --engine openai --model Qwen/Qwen2.5-VL-7B-Instruct \\
            --base-url http://judge:8000/v1 --data tiger:data/tiger-bench --samples 4

    docs/evaluation.md says how to download each benchmark and what the numbers mean.
    """
    from edit_rrm.verdicts import Aggregation, Mode
    from edit_rrm_client import RewardClient, RewardClientError
    from edit_rrm_client.local import LocalServiceError
    from edit_rrm_training.judge.judge_client import serving
    from edit_rrm_training.judge.pairs.asking import GroupAsker, JudgeChangedError, Question
    from edit_rrm_training.judge.pairs.comparison import Ties
    from edit_rrm_training.judge.pairs.grouping import assemble
    from edit_rrm_training.judge.pairs.looked_at import write_looked_at
    from edit_rrm_training.judge.pairs.report import pairs_report
    from edit_rrm_training.judge.pairs.results import ResumeError
    from edit_rrm_training.judge.pairs.run import ask_all
    from edit_rrm_training.judge.pairs.sources.table import DataError

    for option, value, known in (
        ("--engine", engine, _ENGINES),
        ("--mode", mode, _MODES),
        ("--aggregation", aggregation, (None, *_AGGREGATIONS)),
        ("--principles", principles, _PRINCIPLES),
        ("--ties", ties, _TIES),
    ):
        if value not in known:
            raise typer.BadParameter(f"{value!r} is none of {', '.join(filter(None, known))}", param_hint=option)
    if mode == "probe" and samples > 1:
        raise typer.BadParameter("probes are not sampled; --samples is for --mode think", param_hint="--samples")
    if mode == "probe" and aggregation == "model":
        raise typer.BadParameter("probes write no score of their own", param_hint="--aggregation")
    if base_url and (engine != "openai" or url is not None):
        raise typer.BadParameter("it goes with --engine openai, and without --url", param_hint="--base-url")
    if engine == "openai" and url is None and not (base_url and model):
        raise typer.BadParameter("openai needs --base-url and --model", param_hint="--engine")
    source, spec = _source(data, n, principles)
    try:
        with progress_bar() as bar:
            reading = bar.add_task("reading", total=len(source))
            assembled = assemble(_counted(source, lambda done: bar.update(reading, completed=done)))
            if not assembled.groups:
                reasons = ", ".join(sorted({row.reason.value for row in assembled.rejected}))
                raise DataError(f"{data}: none of {assembled.rows} rows can be used ({reasons})")
            with (
                serving(url, model, engine, base_url or ()) as base,
                RewardClient(base, api_key=api_key, timeout=_TIMEOUT_S, max_attempts=1) as client,
            ):
                judge = client.identity()
                # What makes two runs the same. Ties and workers are not in it: they move no score.
                run = {
                    "identity": judge.identity,
                    "data": spec,
                    "data_fingerprint": assembled.fingerprint,
                    "n": len(source),
                    "mode": mode,
                    "samples": samples,
                    "aggregation": aggregation,
                    "principles": principles,
                }
                question = Question(
                    Mode(mode),
                    samples,
                    None if aggregation is None else Aggregation(aggregation),
                    source.resize_edits,
                )
                judging = bar.add_task("judging", total=len(assembled.groups))
                with _store(out, run) as store:
                    scores = ask_all(
                        assembled.groups,
                        GroupAsker(client, question, judge.identity),
                        store,
                        workers=workers,
                        progress=lambda done: bar.update(judging, completed=done),
                    )
        report = {**run, "data": data, "judge": judge.name, **pairs_report(assembled, scores, Ties(ties))}
        _write(out, report)
        if out is not None:
            write_looked_at(out, assembled.groups, scores)
    except (RewardClientError, LocalServiceError, JudgeChangedError, ResumeError, DataError, OSError) as error:
        fail(_advice(str(error), out, isinstance(error, RewardClientError)))
    if as_json:
        typer.echo(json.dumps(report, indent=2))
    else:
        _print(report)


def _source(data: str, n: int | None, principles: str) -> tuple[PairSource, str]:
    """The benchmark, and what tells a run of it from another: the kind alone where content is fingerprinted anyway."""
    from edit_rrm_training.judge.pairs.sources import open_source, parse_data
    from edit_rrm_training.judge.pairs.sources.table import DataError

    try:
        spec = parse_data(data)
        source = open_source(spec, n, oracle_principles=principles == "oracle")
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--data") from None
    except (DataError, OSError) as error:
        fail(f"--data {data}: {error}")
    return source, data if spec.kind == "shapes" else spec.kind


def _counted(source: PairSource, progress: Callable[[int], None]) -> Iterator[Pair | Rejected]:
    for done, row in enumerate(source.rows(), 1):
        yield row
        progress(done)


@contextmanager
def _store(out: Path | None, run: Mapping[str, Any]) -> Iterator[Store]:
    from edit_rrm_training.judge.pairs.results import Results
    from edit_rrm_training.judge.pairs.run import Memory

    if out is None:
        yield Memory()
    else:
        with Results(out, run) as results:
            yield results


def _write(out: Path | None, report: Mapping[str, Any]) -> None:
    from edit_rrm_training.judge.pairs.table import markdown

    if out is not None:
        (out / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        (out / "report.md").write_text(markdown(report), encoding="utf-8")
        typer.echo(f"report: {out / 'report.md'} and report.json", err=True)


def _advice(problem: str, out: Path | None, is_service: bool) -> str:
    return f"{problem}; run the same command again to go on from {out}" if is_service and out is not None else problem


def _print(report: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from edit_rrm_training.judge.pairs.table import HEADINGS, lines, notes, title

    console = Console()
    # As Text: square brackets in names of data and judges would be read as markup.
    table = Table(title=Text(title(report)), title_justify="left")
    for heading in HEADINGS:
        table.add_column(heading)
    for line in lines(report):
        table.add_row(*(Text(cell) for cell in line))
    console.print(table)
    for note in notes(report):
        console.print(Text(note), soft_wrap=True)
