"""`make demo`: serve the shipped judge, have it judge three edits over HTTP, and draw what it said.

Exits 0 only if the good edit scores higher than the one with collateral damage, and that one higher than the untouched
copy.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import httpx2
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edit_rrm.verdicts import Mode, Reward
from edit_rrm_client.client import RewardClient
from edit_rrm_client.errors import RewardClientError
from edit_rrm_client.local import LocalServiceError, local_service
from edit_rrm_client.report import draw_report

_EXAMPLES = files("edit_rrm_client").joinpath("examples")


@dataclass(frozen=True, slots=True)
class Example:
    """One of the demo's edits."""

    name: str
    edited: bytes


def main(argv: list[str] | None = None) -> int:
    """Run the demo and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m edit_rrm_client.demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/demo"), help="where report.png and server.log go")
    parser.add_argument("--engine", default="vllm", help="vllm (default), transformers or auto")
    parser.add_argument("--mode", default="think", choices=("think", "probe"))
    parser.add_argument("--url", help="a running service to use instead of starting one")
    options = parser.parse_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    console = Console()

    index = json.loads(_EXAMPLES.joinpath("examples.json").read_text(encoding="utf-8"))
    source = _EXAMPLES.joinpath(index["source"]).read_bytes()
    edits = [Example(row["name"], _EXAMPLES.joinpath(row["edited"]).read_bytes()) for row in index["edits"]]
    try:
        if options.url:
            rewards = _judge(options.url, index["instruction"], source, edits, options.mode)
        else:
            log = options.out / "server.log"
            _say(console, f"starting the service (log: {log})")
            # The page is an extra; where it is installed, the demo's service has it as `make serve` does.
            page = ("--ui",) if find_spec("gradio") is not None else ()
            with local_service(("--engine", options.engine, *page), log=log) as url:
                rewards = _judge(url, index["instruction"], source, edits, options.mode)
                if page:
                    _look(url)
                    _say(console, "page: make serve, and open http://127.0.0.1:8000/ui")
    except (LocalServiceError, RewardClientError, httpx2.HTTPError) as error:
        _say(console, str(error))
        return 1

    for example, reward in zip(edits, rewards, strict=True):
        _show(console, index["instruction"], example, reward)
    rows = [(example.name, example.edited, reward) for example, reward in zip(edits, rewards, strict=True)]
    draw_report(index["instruction"], source, rows).save(options.out / "report.png")
    _say(console, f"picture: {options.out / 'report.png'}")
    return _verdict(console, edits, rewards)


def _verdict(console: Console, edits: list[Example], rewards: list[Reward]) -> int:
    unscored = [f"{e.name} ({r.outcome.value})" for e, r in zip(edits, rewards, strict=True) if r.score is None]
    if unscored:
        console.print(f"[red]not scored: {', '.join(unscored)}[/red]")
        return 1
    scores = [reward.score for reward in rewards if reward.score is not None]
    order = " > ".join(f"{e.name} {score:g}" for e, score in zip(edits, scores, strict=True))
    if all(better > worse for better, worse in pairwise(scores)):
        console.print(f"[green]as it should be: {order}[/green]")
        return 0
    console.print(f"[red]wrong order, expected {order}[/red]")
    return 1


def _judge(url: str, instruction: str, source: bytes, edits: list[Example], mode: str) -> list[Reward]:
    with RewardClient(url, timeout=600.0) as client:
        reply = client.rewards(
            instruction, source, [example.edited for example in edits], mode=Mode(mode)
        ).raise_for_error()
    return list(reply.results)


def _look(url: str) -> None:
    """Ask for the page.

    Raises:
        httpx2.HTTPError: It is not there.
    """
    httpx2.get(f"{url}/ui/", timeout=60.0).raise_for_status()


def _show(console: Console, instruction: str, example: Example, reward: Reward) -> None:
    score = "not scored" if reward.score is None else f"score {reward.score:g}, reward {reward.reward:g}"
    # What the judge wrote goes in as Text: square brackets in a plain string would be read as markup.
    table = Table(title=Text(f"{instruction!r}: {example.name}: {score}"), title_justify="left")
    for heading in ("category", "principle", "verdict", "why"):
        table.add_column(heading)
    for verdict in reward.verdicts:
        table.add_row(
            verdict.principle.category.value.replace("_", " "),
            Text(verdict.principle.question),
            "[green]yes[/green]" if verdict.passed else "[red]no[/red]",
            Text(verdict.rationale or ("" if verdict.probability is None else f"P(yes) {verdict.probability:.2f}")),
        )
    console.print(table)
    if reward.error is not None:
        console.print(Text(f"{reward.outcome.value}: {reward.error.message}", style="red"))


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
