"""vLLM without a server: all prompts of a round in one `LLM.generate`, in our order. The limit of this engine."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks.speed.child import in_a_process
from benchmarks.speed.contender import Judged, Judging, Setting, is_judgement
from benchmarks.speed.engine_prompts import engine_prompts
from edit_rrm.verdicts import Mode
from edit_rrm_client import Group
from edit_rrm_service.engines import vllm_setup
from edit_rrm_service.engines.base import Prompt
from edit_rrm_service.engines.options import EngineOptions
from edit_rrm_service.engines.rendering import ChatRenderer, images


@contextmanager
def offline(setting: Setting) -> Iterator[Judging]:
    """An engine in a process of its own."""
    with in_a_process(_made, setting) as judge:
        yield judge


def _made(setting: Setting) -> Judging:
    os.environ.update(vllm_setup.start_environment(on_cpu=True))
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    vllm_setup.prepare_process()
    from vllm import LLM, SamplingParams

    arguments = vllm_setup.engine_arguments(setting.judge, setting.card, EngineOptions(), on_cpu=True)
    arguments.pop("enable_log_requests")  # of servers alone
    llm = LLM(**arguments)
    renderer = ChatRenderer(setting.judge)
    limit = setting.card.sampling.think_max_tokens if setting.mode is Mode.THINK else 1
    probe: dict[str, Any] = {} if setting.mode is Mode.THINK else {"logprobs": 20}
    parameters = SamplingParams(max_tokens=limit, temperature=0.0, **probe)

    def judge(groups: Sequence[Group]) -> Judged:
        asked = engine_prompts(setting, groups)
        made = [_request(renderer, prompt) for _, prompt in asked]
        began = time.monotonic()
        found = llm.generate(made, parameters, use_tqdm=False)
        seconds = time.monotonic() - began
        unread = {
            place
            for (place, _), output in zip(asked, found, strict=True)
            if not _is_read(setting, output.outputs[0], groups[place[0]])
        }
        return Judged(len({place for place, _ in asked} - unread), seconds)

    return judge


def _request(renderer: ChatRenderer, prompt: Prompt) -> dict[str, Any]:
    pictures = images(prompt)
    return {
        "prompt_token_ids": renderer.token_ids(prompt),
        "multi_modal_data": {"image": [picture.pixels for picture in pictures]},
        "multi_modal_uuids": {"image": [picture.digest for picture in pictures]},
    }


def _is_read(setting: Setting, answer: Any, group: Group) -> bool:
    if setting.mode is Mode.THINK:
        return answer.finish_reason == "stop" and is_judgement(answer.text, group)
    return bool(answer.logprobs)
