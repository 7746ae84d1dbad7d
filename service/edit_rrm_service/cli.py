"""The `edit-rrm` command. Heavy imports happen inside the commands, so that `--help` is quick."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edit_rrm_service.commands.bench import bench
from edit_rrm_service.commands.score import score
from edit_rrm_service.commands.terminal import Engine, Key, Model, fail, serving

if TYPE_CHECKING:
    from pydantic import ValidationError

app = typer.Typer(
    help="Judge image edits with reasons: serve a reward model, ask it, measure it, train it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


_Url = Annotated[str | None, typer.Option(help="A running service. Left out, one is started for the occasion.")]


@app.command()
def serve(
    model: Model = None,
    engine: Engine = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 picks a free one. [default: 8000]")] = None,
    probe_port: Annotated[int | None, typer.Option(help="A port for probes and metrics alone, as well.")] = None,
    dtype: Annotated[str | None, typer.Option(help="auto, bfloat16, float16 or float32. [default: auto]")] = None,
    max_model_len: Annotated[int | None, typer.Option(help="Context length in tokens.")] = None,
    gpu_memory_utilization: Annotated[float | None, typer.Option(help="Share of GPU memory. [default: 0.9]")] = None,
    tensor_parallel_size: Annotated[int | None, typer.Option(help="GPUs to split the model over. [default: 1]")] = None,
    base_url: Annotated[list[str] | None, typer.Option(help="Engine openai: a server; may be repeated.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error. [default: info]")] = None,
    ui: Annotated[bool | None, typer.Option("--ui/--no-ui", help="A page to look at judgements, at /ui.")] = None,
    ui_runs: Annotated[Path | None, typer.Option(help="Folder of runs that the page shows.")] = None,
) -> None:
    """Serve a judge over HTTP. Every flag is also an environment variable: --port is EDIT_RRM_PORT.

    \b
    The shipped judge, which needs no GPU and knows the shapes world:
        edit-rrm serve

    \b
    With a page to look at judgements, at http://127.0.0.1:8000/ui:
        edit-rrm serve --ui

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
        "probe_port": probe_port,
        "dtype": dtype,
        "max_model_len": max_model_len,
        "gpu_memory_utilization": gpu_memory_utilization,
        "tensor_parallel_size": tensor_parallel_size,
        "base_urls": tuple(base_url) if base_url else None,
        "log_level": log_level,
        "ui": ui,
        "ui_runs": ui_runs,
    }
    try:
        settings = Settings(**{name: value for name, value in flags.items() if value is not None})  # type: ignore[arg-type]  # checked by pydantic, which is what the except is for
    except ValidationError as error:
        fail(_wrong_setting(error, flags))
    raise SystemExit(run(settings))


app.command()(score)
app.command()(bench)


@app.command()
def identity(url: _Url = None, model: Model = None, engine: Engine = None, api_key: Key = None) -> None:
    """Print what exactly is judging, and the hash that every response carries.

    \b
    Of a running service:
        edit-rrm identity --url http://localhost:8000
    """
    from edit_rrm_client import RewardClient, RewardClientError

    with serving([url] if url else [], model, engine) as base:
        try:
            with RewardClient(base, api_key=api_key) as client:
                typer.echo(client.identity().model_dump_json(indent=2))
        except RewardClientError as error:
            fail(str(error))


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
        fail("no key came on standard input")
    typer.echo(hash_key(key))


def _wrong_setting(error: ValidationError, flags: Iterable[str]) -> str:
    """The first setting at fault, by the names it can be set with."""
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0])
    # Shown without the type of error that pydantic puts in front of our own messages.
    reason = first["msg"].removeprefix("Value error, ")
    flag = "--base-url" if name == "base_urls" else f"--{name.replace('_', '-')}"
    variable = f"EDIT_RRM_{name.upper()}"
    return f"{flag} or {variable}: {reason}" if name in flags else f"{variable}: {reason}"


def _mount_training() -> None:
    """Add what comes with the extra `training`, as `train` and `edit` do; the service never imports it."""
    try:
        training = importlib.import_module("edit_rrm_training.cli")
    except ModuleNotFoundError:
        return
    app.add_typer(training.data_app, name="data")
    app.add_typer(training.train_app, name="train")
    app.add_typer(training.eval_app, name="eval")
    app.add_typer(training.plot_app, name="plot")
    app.command("edit")(training.edit_command)
    app.command("merge")(training.merge_command)


def main() -> None:
    """Entry point of `edit-rrm`."""
    _mount_training()
    app()
