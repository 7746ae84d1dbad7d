"""`edit-rrm bench`: how many rewards a second a service gives, and how late, under a trainer's load."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from edit_rrm_service.commands.terminal import Engine, Key, Model, fail, serving

if TYPE_CHECKING:
    from edit_rrm_client.bench.arrivals import Arrivals
    from edit_rrm_client.bench.load import Served
    from edit_rrm_client.bench.summary import Summary
    from edit_rrm_client.bench.workload import Workload
    from edit_rrm_client.group import Group
    from edit_rrm_service.commands.bench_counters import Counted, Counts

_TIMEOUT_S = 900.0
_METRICS_S = 10.0


def bench(
    url: Annotated[
        list[str] | None,
        typer.Option(help="A running service; may be repeated. Left out, one is started for the occasion."),
    ] = None,
    groups: Annotated[int, typer.Option(help="Groups to send, made before the first is sent.", min=1)] = 32,
    size: Annotated[int, typer.Option(help="Edits of a group.", min=1)] = 24,
    side: Annotated[int, typer.Option(help="Of the square pictures, pixels.", min=16)] = 512,
    mode: Annotated[str, typer.Option(help="think (reasons) or probe (probabilities, faster).")] = "think",
    principles: Annotated[
        int | None, typer.Option(help="Given with every group; the judge decomposes where left out.", min=1)
    ] = None,
    instruction: Annotated[
        str, typer.Option("--instruction", "-i", help="Of every group.")
    ] = "Change the color of the circle to blue.",
    repeats: Annotated[
        float, typer.Option(help="Share of groups whose source came before: later epochs.", min=0.0, max=1.0)
    ] = 0.0,
    in_flight: Annotated[
        int | None, typer.Option(help="Closed loop: so many groups at a time. [default: 8]", min=1)
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Open loop: so many groups a second come, whatever happens.", min=0.0)
    ] = None,
    burst: Annotated[
        int | None, typer.Option(help="A trainer's steps: so many groups at once, the next when all are back.", min=1)
    ] = None,
    interactive: Annotated[
        float,
        typer.Option(help="Beside the load, so many single edits a second of interactive priority.", min=0.0),
    ] = 0.0,
    deadline: Annotated[
        float | None, typer.Option(help="Seconds within which a group is of use: goodput counts those alone.", min=0.0)
    ] = None,
    image_format: Annotated[
        Literal["webp", "ppm", "png"],
        typer.Option(
            help="What pictures are sent as: webp and png are compressed without loss, ppm is three bytes a pixel."
        ),
    ] = "webp",
    warmup: Annotated[int, typer.Option(help="Groups sent first, one by one, and not counted.", min=0)] = 1,
    seed: Annotated[int, typer.Option(help="Of the pictures and arrivals.", min=0)] = 0,
    model: Model = None,
    engine: Engine = None,
    api_key: Key = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Put a service under a trainer's load, and say what it does: rewards a second, latencies, tokens, stages.

    Pictures are made up, with the grain of photographs, and no two edits are alike, so that no cache answers for the
    judge. Speeds of two services compare when they are measured in turns, on one machine.

    \b
    The shipped judge, groups of 24, as a trainer sends them:
        edit-rrm bench --side 112 --burst 16

    \b
    A service, by one-token reads of 5 principles, 16 groups at a time:
        edit-rrm bench --url http://judge:8000 --mode probe --principles 5 --in-flight 16

    \b
    How long people wait for one edit while a trainer sends its groups:
        edit-rrm bench --url http://judge:8000 --interactive 0.5

    \b
    What comes back within 30 s when 2 groups a second arrive:
        edit-rrm bench --url http://judge:8000 --rate 2 --deadline 30 --groups 200
    """
    from edit_rrm.verdicts import Mode
    from edit_rrm_client import RewardClientError
    from edit_rrm_client.bench.workload import Workload

    if mode not in {item.value for item in Mode}:
        raise typer.BadParameter(f"{mode!r} is neither think nor probe", param_hint="--mode")
    arrivals = _arrivals(in_flight, rate, burst)
    workload = Workload(
        group_size=size,
        side=side,
        instruction=instruction,
        principles=principles,
        repeats=repeats,
        image_format=image_format,
        seed=seed,
    )
    beside = (replace(workload, group_size=1, seed=seed + 1), interactive) if interactive > 0.0 else None
    made = _made(workload, warmup + groups, quiet=as_json)
    with serving(url or [], model, engine) as urls:
        try:
            served, single, counted = asyncio.run(
                _measured(
                    urls, made[:warmup], made[warmup:], arrivals, Mode(mode), api_key, beside=beside, quiet=as_json
                )
            )
        except (RewardClientError, OSError) as error:
            fail(str(error))
    from edit_rrm_client.bench.summary import summary

    found = summary(served, deadline)
    singles = summary(single) if single else None
    if as_json:
        report = _as_json(workload, arrivals, mode, groups, deadline, found, counted)
        report["interactive"] = None if singles is None else {"rate": interactive, **singles.as_json()}
        typer.echo(json.dumps(report, indent=2))
    else:
        _print(found, singles, counted)
    raise SystemExit(0 if found.scored == found.edits else 1)


def _arrivals(in_flight: int | None, rate: float | None, burst: int | None) -> Arrivals:
    from edit_rrm_client.bench.arrivals import Bursts, Closed, Open

    if sum(value is not None for value in (in_flight, rate, burst)) > 1:
        raise typer.BadParameter("choose one of --in-flight, --rate and --burst", param_hint="--in-flight")
    if burst is not None:
        return Bursts(burst)
    if rate is None:
        return Closed(in_flight or 8)
    if rate == 0.0:
        raise typer.BadParameter("has to be greater than 0", param_hint="--rate")
    return Open(rate)


def _made(workload: Workload, count: int, *, quiet: bool) -> list[Group]:
    from edit_rrm_client.bench.workload import prepared

    with _bar("making pictures", count, quiet=quiet) as told:
        return prepared(workload, count, told)


async def _measured(
    urls: Sequence[str],
    warmup: Sequence[Group],
    groups: Sequence[Group],
    arrivals: Arrivals,
    mode: Any,
    api_key: str | None,
    *,
    beside: tuple[Workload, float] | None,
    quiet: bool,
) -> tuple[list[Served], list[Served], Counted | None]:
    from edit_rrm_client import AsyncRewardClient
    from edit_rrm_client.bench.arrivals import Closed
    from edit_rrm_client.bench.load import put_under_load
    from edit_rrm_service.commands.bench_counters import between

    client = AsyncRewardClient(
        urls, api_key=api_key, timeout=_TIMEOUT_S, max_in_flight=max(64, len(groups)), priority="training"
    )
    async with client:
        await put_under_load(client, warmup, Closed(1), mode=mode)
        before = await _counts(urls, api_key)
        ended = asyncio.Event()
        single = asyncio.ensure_future(_single(urls, api_key, beside, ended, mode))
        try:
            with _bar("judging groups", len(groups), quiet=quiet) as told:
                served = await put_under_load(client, groups, arrivals, mode=mode, progress=told)
        finally:
            ended.set()
            singles = await single
        after = await _counts(urls, api_key)
    return served, singles, None if before is None or after is None else between(before, after)


async def _single(
    urls: Sequence[str], api_key: str | None, beside: tuple[Workload, float] | None, ended: asyncio.Event, mode: Any
) -> list[Served]:
    """Single edits of interactive priority, until the load has ended."""
    from edit_rrm_client import AsyncRewardClient
    from edit_rrm_client.bench.arrivals import Open
    from edit_rrm_client.bench.load import trickle
    from edit_rrm_client.bench.workload import group

    if beside is None:
        return []
    workload, rate = beside
    async with AsyncRewardClient(urls, api_key=api_key, timeout=_TIMEOUT_S, priority="interactive") as client:
        return await trickle(client, partial(group, workload), Open(rate), ended, mode=mode)


async def _counts(urls: Sequence[str], api_key: str | None) -> Counts | None:
    """The service's counters; None where it keeps them to itself, or there are several of it."""
    import httpx2

    from edit_rrm_service.commands.bench_counters import read

    if len(urls) != 1:
        return None
    headers = {} if api_key is None else {"authorization": f"Bearer {api_key}"}
    async with httpx2.AsyncClient(headers=headers, timeout=_METRICS_S) as http:
        try:
            reply = await http.get(f"{urls[0].rstrip('/')}/metrics")
            return read(reply.text) if reply.status_code == httpx2.codes.OK else None
        except (httpx2.HTTPError, ValueError):
            return None


@contextmanager
def _bar(what: str, total: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal's standard error; yields what is to be told how much is done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda done: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)


def _as_json(
    workload: Workload,
    arrivals: Arrivals,
    mode: str,
    groups: int,
    deadline: float | None,
    found: Summary,
    counted: Counted | None,
) -> dict[str, Any]:
    from dataclasses import asdict

    load = {"arrivals": type(arrivals).__name__.lower(), **asdict(arrivals), "groups": groups, "mode": mode}
    return {
        "load": {**load, **asdict(workload), "deadline": deadline},
        "figures": found.as_json(),
        "service": None if counted is None else counted.as_json(),
    }


def _print(found: Summary, singles: Summary | None, counted: Counted | None) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False)
    for name, value in _rows(found, counted):
        table.add_row(name, value)
    if singles is not None:
        table.add_row(f"{singles.edits} single edits meanwhile", _latencies(singles))
    Console().print(table)


def _latencies(found: Summary) -> str:
    return (
        f"p50 {found.latency_p50:.2f} s, p95 {found.latency_p95:.2f} s, p99 {found.latency_p99:.2f} s, "
        f"at most {found.latency_max:.2f} s"
    )


def _rows(found: Summary, counted: Counted | None) -> list[tuple[str, str]]:
    rows = [
        (
            "rewards a second",
            f"{found.rewards_per_s:.2f}  ({found.scored} of {found.edits} edits in {found.seconds:.1f} s)",
        )
    ]
    if found.goodput_per_s is not None:
        rows.append(("of use, a second", f"{found.goodput_per_s:.2f}"))
    rows.append(("a group takes", _latencies(found)))
    unscored = {name: count for name, count in found.outcomes.items() if name != "scored"}
    if unscored:
        rows.append(("not scored", ", ".join(f"{count} {name}" for name, count in unscored.items())))
    if found.attempts_per_group > 1.0:
        rows.append(("requests a group", f"{found.attempts_per_group:.2f}"))
    if found.prompt_tokens_per_reward is not None and found.cached_share is not None:
        rows.append(
            ("prompt tokens a reward", f"{found.prompt_tokens_per_reward:.0f}, {found.cached_share:.0%} of them cached")
        )
    if found.completion_tokens_per_reward is not None:
        rows.append(("tokens written a reward", f"{found.completion_tokens_per_reward:.0f}"))
    if counted is None:
        return rows
    if counted.cpu_s is not None and found.scored:
        rows.append(("CPU a reward, service", f"{1e3 * counted.cpu_s / found.scored:.1f} ms"))
    rows += [(f"in {stage}", f"{seconds:.1f} s, all requests together") for stage, seconds in counted.stage_s.items()]
    if counted.decompositions is not None:
        rows.append(
            ("decompositions", f"{counted.decompositions:.0f}, and {counted.decompositions_cached or 0:.0f} cached")
        )
    return rows
