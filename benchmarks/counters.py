r"""What a group costs in counts, which are the same on every machine: tokens computed, and runs of the vision encoder.

    python -m benchmarks.counters --judge build/judges/40M --size 24 --principles 5

vLLM in one process, with a count taken of what its scheduler hands out: a group in the judge's order of parts, the same
with the question first, and the next group of the same source.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.speed.contender import Setting
from benchmarks.speed.engine_prompts import engine_prompts
from benchmarks.told import told
from benchmarks.widened import NANO
from edit_rrm.card import load_card
from edit_rrm.verdicts import Mode
from edit_rrm_client import Group
from edit_rrm_client.bench.workload import Workload, prepared
from edit_rrm_service.engines import vllm_setup
from edit_rrm_service.engines.base import Prompt
from edit_rrm_service.engines.options import EngineOptions
from edit_rrm_service.engines.rendering import ChatRenderer, images


@dataclass(frozen=True, slots=True)
class Counts:
    """Of a group."""

    prompts: int
    prompt_tokens: int
    computed_tokens: int
    """Of prompts and answers, computed and not taken from the prefix cache."""
    encoder_runs: int
    """Images that went through the vision encoder."""


def count(judge: Path, mode: Mode, workload: Workload) -> dict[str, Counts]:
    """Count a group's cost. Starts vLLM in this process.

    Args:
        judge: Checkpoint folder.
        mode: How it judges.
        workload: Of the groups; with principles.

    Returns:
        By what was asked: ``judge's order``, ``question first`` and ``same source again`` (in the judge's order).
    """
    card = load_card(judge)
    assert card is not None, f"{judge} has no judge card"
    setting = Setting(judge, card, mode, 1, Path())
    ask = _engine(setting)
    first, asked_otherwise, again = prepared(workload, 3)
    # Its source is the first group's, its edits are its own.
    again = replace(again, source=first.source)
    return {
        "judge's order": ask(_prompts(setting, first)),
        "question first": ask([_question_first(prompt) for prompt in _prompts(setting, asked_otherwise)]),
        "same source again": ask(_prompts(setting, again)),
    }


def _prompts(setting: Setting, group: Group) -> list[Prompt]:
    return [prompt for _, prompt in engine_prompts(setting, [group])]


def _question_first(prompt: Prompt) -> Prompt:
    return Prompt(prompt.system, tuple(sorted(prompt.parts, key=lambda part: not isinstance(part, str))))


def _engine(setting: Setting) -> Callable[[Sequence[Prompt]], Counts]:
    os.environ.update(vllm_setup.start_environment(on_cpu=True))
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    vllm_setup.prepare_process()
    from vllm import LLM, SamplingParams

    arguments = vllm_setup.engine_arguments(setting.judge, setting.card, EngineOptions(), on_cpu=True)
    arguments.pop("enable_log_requests")  # of servers alone
    llm = LLM(**arguments)
    renderer = ChatRenderer(setting.judge)
    limit = setting.card.sampling.think_max_tokens if setting.mode is Mode.THINK else 1
    tokens = encoded = 0

    scheduler: Any = llm.llm_engine.engine_core.engine_core.scheduler
    schedule = scheduler.schedule

    def counted(*given: Any, **named: Any) -> Any:
        nonlocal tokens, encoded
        step = schedule(*given, **named)
        tokens += step.total_num_scheduled_tokens
        encoded += sum(len(indices) for indices in step.scheduled_encoder_inputs.values())
        return step

    scheduler.schedule = counted

    def ask(prompts: Sequence[Prompt]) -> Counts:
        before = tokens, encoded
        made = [_request(renderer, prompt) for prompt in prompts]
        answers = llm.generate(made, SamplingParams(max_tokens=limit, temperature=0.0), use_tqdm=False)
        asked = sum(len(answer.prompt_token_ids or ()) for answer in answers)
        return Counts(len(prompts), asked, tokens - before[0], encoded - before[1])

    return ask


def _request(renderer: ChatRenderer, prompt: Prompt) -> dict[str, Any]:
    pictures = images(prompt)
    return {
        "prompt_token_ids": renderer.token_ids(prompt),
        "multi_modal_data": {"image": [picture.pixels for picture in pictures]},
        "multi_modal_uuids": {"image": [picture.digest for picture in pictures]},
    }


def main() -> None:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judge", type=Path, default=NANO, help="Checkpoint folder.")
    parser.add_argument("--mode", choices=[mode.value for mode in Mode], default="probe")
    parser.add_argument("--size", type=int, default=24, help="Edits of a group.")
    parser.add_argument("--principles", type=int, default=5)
    parser.add_argument("--side", type=int, default=112, help="Of the pictures, pixels.")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    workload = Workload(arguments.size, arguments.side, principles=arguments.principles)
    found = count(arguments.judge, Mode(arguments.mode), workload)
    told({name: asdict(one) for name, one in found.items()}, arguments.out)


if __name__ == "__main__":
    main()
