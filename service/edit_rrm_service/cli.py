"""The `edit-rrm` command. Heavy imports happen inside the commands, so that `--help` is quick."""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, get_args

import typer

from edit_rrm_service.engines.options import EngineName

if TYPE_CHECKING:
    from pydantic import ValidationError

    from edit_rrm.verdicts import Reward

app = typer.Typer(
    help="Judge image edits with reasons: serve a reward model, ask it, measure it, train it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _known_engine(name: str | None) -> str | None:
    if name is not None and name not in get_args(EngineName):
        raise typer.BadParameter(f"{name!r} is none of {', '.join(get_args(EngineName))}")
    return name


_Model = Annotated[str | None, typer.Option(help="Checkpoint folder or hub name; the shipped judge by default.")]
_Engine = Annotated[
    str | None, typer.Option(callback=_known_engine, help="auto, vllm, transformers or openai. [default: auto]")
]
_Url = Annotated[str | None, typer.Option(help="A running service. Left out, one is started for the occasion.")]
_Key = Annotated[str | None, typer.Option(envvar="EDIT_RRM_API_KEY", help="Key for the service, if it wants one.")]


@app.command()
def serve(
    model: _Model = None,
    engine: _Engine = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 picks a free one. [default: 8000]")] = None,
    dtype: Annotated[str | None, typer.Option(help="auto, bfloat16, float16 or float32. [default: auto]")] = None,
    max_model_len: Annotated[int | None, typer.Option(help="Context length in tokens.")] = None,
    gpu_memory_utilization: Annotated[float | None, typer.Option(help="Share of GPU memory. [default: 0.9]")] = None,
    tensor_parallel_size: Annotated[int | None, typer.Option(help="GPUs to split the model over. [default: 1]")] = None,
    base_url: Annotated[list[str] | None, typer.Option(help="Engine openai: a server; may be repeated.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error. [default: info]")] = None,
) -> None:
    """Serve a judge over HTTP. Every flag is also an environment variable: --port is EDIT_RRM_PORT.

    \b
    The shipped judge, which needs no GPU and knows the shapes world:
        edit-rrm serve

    \b
    A full-size one on a GPU:
        edit-rrm serve --model Qwen/Qwen2.5-VL-7B-Instruct --host 0.0.0.0

    \b
    In front of running `vllm serve` processes:
        edit-rrm serve --engine openai --base-url http://judge-0:8000/v1 \\
            --base-url http://judge-1:8000/v1
    """
    from pydantic import ValidationError

    from edit_rrm_service.server import run
    from edit_rrm_service.settings import Settings

    flags = {
        "model": model,
        "engine": engine,
        "host": host,
        "port": port,
        "dtype": dtype,
        "max_model_len": max_model_len,
        "gpu_memory_utilization": gpu_memory_utilization,
        "tensor_parallel_size": tensor_parallel_size,
        "base_urls": tuple(base_url) if base_url else None,
        "log_level": log_level,
    }
    try:
        settings = Settings(**{name: value for name, value in flags.items() if value is not None})  # type: ignore[arg-type]  # checked by pydantic, which is what the except is for
    except ValidationError as error:
        _fail(_wrong_setting(error, flags))
    raise SystemExit(run(settings))


@app.command()
def score(
    instruction: Annotated[str, typer.Option("--instruction", "-i", help="What the edit was meant to do.")],
    source: Annotated[Path, typer.Option("--source", "-s", help="The source image.")],
    edited: Annotated[list[Path], typer.Option("--edited", "-e", help="An edited image; may be repeated.")],
    url: _Url = None,
    model: _Model = None,
    engine: _Engine = None,
    mode: Annotated[str, typer.Option(help="think (reasons) or probe (probabilities, faster).")] = "think",
    api_key: _Key = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Judge edits of one source image and say why. Exits with 1 if one of them could not be scored.

    \b
    With the shipped judge:
        edit-rrm score -i "make the star blue" -s source.png -e one.png -e two.png

    \b
    With a running service, for a program to read:
        edit-rrm score --url http://localhost:8000 --json \\
            -i "make the star blue" -s source.png -e edited.png
    """
    from edit_rrm.verdicts import Mode
    from edit_rrm_client import RewardClient, RewardClientError

    if mode not in {item.value for item in Mode}:
        raise typer.BadParameter(f"{mode!r} is neither think nor probe", param_hint="--mode")
    for flag, path in (("--source", source), *(("--edited", path) for path in edited)):
        if not path.is_file():
            raise typer.BadParameter(f"{path} is not a file", param_hint=flag)
    with _serving(url, model, engine) as base:
        try:
            with RewardClient(base, api_key=api_key, timeout=600.0) as client:
                reply = client.rewards(instruction, source, edited, mode=Mode(mode)).raise_for_error()
        except (RewardClientError, OSError) as error:
            _fail(str(error))
    if as_json:
        typer.echo(json.dumps(reply.to_dict(), indent=2))
    else:
        for path, reward in zip(edited, reply.results, strict=True):
            _print_reward(str(path), reward)
    raise SystemExit(0 if all(reward.score is not None for reward in reply.results) else 1)


@app.command()
def identity(url: _Url = None, model: _Model = None, engine: _Engine = None, api_key: _Key = None) -> None:
    """Print what exactly is judging, and the hash that every response carries.

    \b
    Of a running service:
        edit-rrm identity --url http://localhost:8000
    """
    from edit_rrm_client import RewardClient, RewardClientError

    with _serving(url, model, engine) as base:
        try:
            with RewardClient(base, api_key=api_key) as client:
                typer.echo(client.identity().model_dump_json(indent=2))
        except RewardClientError as error:
            _fail(str(error))


@app.command("hash-key")
def hash_key_command() -> None:
    """Read an API key from standard input and print what goes into EDIT_RRM_API_KEY_HASHES.

    \b
    Without the key showing up in the shell's history:
        read -rs KEY; printf %s "$KEY" | edit-rrm hash-key
    """
    from edit_rrm_service.auth import hash_key

    key = sys.stdin.read().strip()
    if not key:
        _fail("no key came on standard input")
    typer.echo(hash_key(key))


@contextmanager
def _serving(url: str | None, model: str | None, engine: str | None) -> Iterator[str]:
    """The service asked for, or one of our own for as long as the command runs."""
    if url is not None:
        yield url
        return
    from edit_rrm_client.local import LocalServiceError, local_service

    flags = [*(["--model", model] if model else []), *(["--engine", engine] if engine else [])]
    with tempfile.TemporaryDirectory() as folder:
        typer.echo("starting a service for this command (use --url to keep one)", err=True)
        try:
            with local_service(flags, log=Path(folder) / "server.log") as started:
                yield started
        except LocalServiceError as error:
            _fail(str(error))


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


def _wrong_setting(error: ValidationError, flags: Iterable[str]) -> str:
    """The first setting at fault, by the names it can be set with."""
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0])
    # Shown without the type of error that pydantic puts in front of our own messages.
    reason = first["msg"].removeprefix("Value error, ")
    flag = "--base-url" if name == "base_urls" else f"--{name.replace('_', '-')}"
    variable = f"EDIT_RRM_{name.upper()}"
    return f"{flag} or {variable}: {reason}" if name in flags else f"{variable}: {reason}"


def _fail(line: str) -> NoReturn:
    typer.echo(f"edit-rrm: {line}", err=True)
    raise SystemExit(1)


def _mount_training() -> None:
    """Add `data`, `train` and `eval`, which come with the extra `training` and which the service never imports."""
    try:
        training = importlib.import_module("edit_rrm_training.cli")
    except ModuleNotFoundError:
        return
    app.add_typer(training.data_app, name="data")
    app.add_typer(training.train_app, name="train")
    app.add_typer(training.eval_app, name="eval")


def main() -> None:
    """Entry point of `edit-rrm`."""
    _mount_training()
    app()
