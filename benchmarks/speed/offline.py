"""vLLM without a server: all prompts of a round in one `LLM.generate`, in our order. The limit of this engine."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks.speed.contender import Judging, Setting, decoded, is_judgement, parts, requests
from edit_rrm.verdicts import Mode
from edit_rrm_client import Group
from edit_rrm_service.engines import vllm_setup
from edit_rrm_service.engines.base import EngineImage, Prompt
from edit_rrm_service.engines.options import EngineOptions
from edit_rrm_service.engines.rendering import ChatRenderer, images
from edit_rrm_service.images import pixel_digest

_Round = tuple[list[tuple[int, Prompt]], list[Group]]


@contextmanager
def offline(setting: Setting) -> Iterator[Judging]:
    """An engine in a process of its own. Pictures are decoded before it is asked: it is told pixels, not files."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, setting), daemon=True)
    process.start()
    there.close()
    try:
        assert here.recv() == "ready"

        def judge(groups: Sequence[Group]) -> int:
            here.send(list(groups))
            scored: int = here.recv()
            return scored

        yield judge
    finally:
        here.send(None)
        process.join(timeout=60.0)
        process.kill()


def _serve(pipe: Any, setting: Setting) -> None:
    os.environ.update(vllm_setup.start_environment(on_cpu=True))
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    vllm_setup.prepare_process()
    from vllm import LLM

    llm = LLM(**vllm_setup.engine_arguments(setting.judge, setting.card, EngineOptions(), on_cpu=True))
    renderer = ChatRenderer(setting.judge)
    pipe.send("ready")
    while (groups := pipe.recv()) is not None:
        pipe.send(_judged(llm, renderer, setting, groups))


def _judged(llm: Any, renderer: ChatRenderer, setting: Setting, groups: Sequence[Group]) -> int:
    from vllm import SamplingParams

    prompts = [
        (place, number, prompt) for place, group in enumerate(groups) for number, prompt in _prompts(setting, group)
    ]
    limit = setting.card.sampling.think_max_tokens if setting.mode is Mode.THINK else 1
    probe = {} if setting.mode is Mode.THINK else {"logprobs": 20}
    parameters = SamplingParams(max_tokens=limit, temperature=0.0, **probe)
    found = llm.generate([_request(renderer, prompt) for _, _, prompt in prompts], parameters, use_tqdm=False)
    unread = {
        (place, number)
        for (place, number, _), output in zip(prompts, found, strict=True)
        if not _is_read(setting, output.outputs[0], groups[place])
    }
    return len({(place, number) for place, number, _ in prompts} - unread)


def _prompts(setting: Setting, group: Group) -> Iterator[tuple[int, Prompt]]:
    source = _image(group.source)
    edits: dict[int, EngineImage] = {}
    for number, prompt, edit in requests(setting, group):
        if number not in edits:
            edits[number] = _image(edit)
        yield number, Prompt(prompt.system, tuple(parts(prompt, source, edits[number])))


def _image(data: object) -> EngineImage:
    picture = decoded(data)
    return EngineImage(picture, pixel_digest(picture))


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
