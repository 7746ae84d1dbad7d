"""`edit-rrm score`: edits of one source image, or a file of edits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from edit_rrm_service.commands.terminal import Engine, Key, Model, fail, serving

if TYPE_CHECKING:
    from edit_rrm.verdicts import Reward


def score(
    instruction: Annotated[
        str | None, typer.Option("--instruction", "-i", help="What the edit was meant to do.")
    ] = None,
    source: Annotated[Path | None, typer.Option("--source", "-s", help="The source image.")] = None,
    edited: Annotated[
        list[Path] | None, typer.Option("--edited", "-e", help="An edited image; may be repeated.")
    ] = None,
    input_: Annotated[
        Path | None,
        typer.Option("--input", help="A Parquet file of edits, or a folder, in place of -i, -s, -e."),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Parquet file for the scores of --input.")] = None,
    url: Annotated[
        list[str] | None,
        typer.Option(help="A running service; may be repeated. Left out, one is started for the occasion."),
    ] = None,
    model: Model = None,
    engine: Engine = None,
    mode: Annotated[str, typer.Option(help="think (reasons) or probe (probabilities, faster).")] = "think",
    aggregation: Annotated[
        str | None, typer.Option(help="How verdicts become a score: model, mean, weighted, geometric, min or product.")
    ] = None,
    samples: Annotated[int, typer.Option(help="Judgements to average for every edit.", min=1, max=16)] = 1,
    columns: Annotated[
        str, typer.Option(help="Columns of --input, such as instruction=prompt,source=before,edited=after.")
    ] = "",
    keep: Annotated[str, typer.Option(help="Columns of --input to carry over, such as id,split.")] = "",
    in_flight: Annotated[int, typer.Option(help="Groups of --input that the service has at a time.", min=1)] = 64,
    window: Annotated[int, typer.Option(help="Rows of --input read, sent and kept at a time.", min=1)] = 512,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete what is in --output and start anew.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Ask again for rows that timed out or met an error of the engine.")
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option(help="On Ray Data: local, auto (the running cluster) or an address; --output is a folder."),
    ] = None,
    api_key: Key = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results, or a summary, as JSON.")] = False,
) -> None:
    """Judge edits of one source image and say why, or a whole file of edits. Exits with 1 if one could not be scored.

    \b
    With the shipped judge:
        edit-rrm score -i "make the star blue" -s source.png -e one.png -e two.png

    \b
    With a running service, for a program to read:
        edit-rrm score --url http://localhost:8000 --json \\
            -i "make the star blue" -s source.png -e edited.png

    \b
    A file of edits; interrupted, the same command goes on:
        edit-rrm score --url http://localhost:8000 --input edits.parquet \\
            --output scores.parquet --columns instruction=prompt --keep id
    """
    from edit_rrm.verdicts import Aggregation, Mode

    if mode not in {item.value for item in Mode}:
        raise typer.BadParameter(f"{mode!r} is neither think nor probe", param_hint="--mode")
    if aggregation is not None and aggregation not in {item.value for item in Aggregation}:
        raise typer.BadParameter(
            f"{aggregation!r} is none of {', '.join(item.value for item in Aggregation)}", param_hint="--aggregation"
        )
    how: dict[str, Any] = {
        "mode": Mode(mode),
        "aggregation": None if aggregation is None else Aggregation(aggregation),
        "samples": samples,
    }
    single = {"--instruction": instruction, "--source": source, "--edited": edited}
    if input_ is None:
        _only_with_input(
            {"--output": output, "--columns": columns, "--keep": keep, "--ray": ray},
            {"--fresh": fresh, "--retry-failed": retry_failed},
        )
        for flag, value in single.items():
            if not value:
                raise typer.BadParameter("is missing; or name a file of edits with --input", param_hint=f"'{flag}'")
        assert instruction, "it was just looked for"
        assert source, "it was just looked for"
        assert edited, "it was just looked for"
        _score_one(instruction, source, edited, url or [], model, engine, how, api_key, as_json)
    given = [flag for flag, value in single.items() if value]
    if given:
        raise typer.BadParameter(f"the file has the edits, so {given[0]} is not wanted", param_hint="--input")
    if output is None:
        raise typer.BadParameter("is missing; name the file to write", param_hint="'--output'")
    if not input_.exists():
        raise typer.BadParameter(f"{input_} is not there", param_hint="--input")
    if ray is not None and retry_failed:
        raise typer.BadParameter("is for --output of one file, not of Ray's folder", param_hint="--retry-failed")
    if ray not in (None, "local") and not url:
        raise typer.BadParameter("workers of a cluster need --url, a service that they reach", param_hint="--ray")
    try:
        from edit_rrm_service.commands.score_file import FileRun
    except ModuleNotFoundError as error:
        fail(str(error))
    run = FileRun(input_, output, columns, keep, how, window, in_flight, fresh, retry_failed, api_key, as_json)
    with serving(url or [], model, engine) as urls:
        status = run.here(urls) if ray is None else run.on_ray(urls, ray)
    raise SystemExit(status)


def _only_with_input(values: dict[str, Any], flags: dict[str, bool]) -> None:
    for flag, value in {**values, **flags}.items():
        if value:
            raise typer.BadParameter("goes with --input only", param_hint=flag)


def _score_one(
    instruction: str,
    source: Path,
    edited: Sequence[Path],
    urls: Sequence[str],
    model: str | None,
    engine: str | None,
    how: dict[str, Any],
    api_key: str | None,
    as_json: bool,
) -> NoReturn:
    from edit_rrm_client import RewardClient, RewardClientError

    for flag, path in (("--source", source), *(("--edited", path) for path in edited)):
        if not path.is_file():
            raise typer.BadParameter(f"{path} is not a file", param_hint=flag)
    with serving(urls, model, engine) as base:
        try:
            with RewardClient(base, api_key=api_key, timeout=600.0) as client:
                reply = client.rewards(instruction, source, edited, **how).raise_for_error()
        except (RewardClientError, OSError) as error:
            fail(str(error))
    if as_json:
        typer.echo(json.dumps(reply.to_dict(), indent=2))
    else:
        for path, reward in zip(edited, reply.results, strict=True):
            _print_reward(str(path), reward)
    raise SystemExit(0 if all(reward.score is not None for reward in reply.results) else 1)


def _print_reward(name: str, reward: Reward) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    head = f"score {reward.score:g} of 10" if reward.score is not None else f"not scored: {reward.outcome.value}"
    console = Console()
    # File names and what the judge wrote go in as Text: square brackets in a plain string would be read as markup.
    console.print(Text(f"{name}: {head}"), soft_wrap=True)
    if reward.error is not None:
        console.print(Text(reward.error.message), soft_wrap=True)
    if not reward.verdicts:
        return
    table = Table()
    for heading in ("category", "principle", "verdict", "why"):
        table.add_column(heading)
    for verdict in reward.verdicts:
        why = verdict.rationale or ("" if verdict.probability is None else f"P(yes) {verdict.probability:.2f}")
        category = verdict.principle.category.value.replace("_", " ")
        table.add_row(category, Text(verdict.principle.question), "yes" if verdict.passed else "no", Text(why))
    console.print(table)
