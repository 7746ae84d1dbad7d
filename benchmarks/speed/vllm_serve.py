"""`vllm serve` and the OpenAI client, as a careful user would have edits judged without this service.

The server gets the flags that ours gives its engine, prefix caching and small blocks included, and the prompts are the
judge's own. Images go as data URLs of the files there are, with a content hash that spares vLLM hashing pixels.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from openai import AsyncOpenAI

from benchmarks.running import free_port, running
from benchmarks.speed.contender import Judged, Judging, Setting, is_judgement, parts, requests
from edit_rrm.prompts import RenderedPrompt
from edit_rrm.verdicts import Mode
from edit_rrm_client import Group
from edit_rrm_client.images import content_type
from edit_rrm_service.engines import vllm_setup
from edit_rrm_service.engines.options import EngineOptions

_TIMEOUT_S = 600.0
_TOP = 20
"""Log-probabilities that the API returns at most."""


@contextmanager
def as_the_judge_asks(setting: Setting) -> Iterator[Judging]:
    """One request for every edit (think) or for every principle (probe), in the judge's own order of parts."""
    with _asking(setting, question_first=False) as judge:
        yield judge


@contextmanager
def question_first(setting: Setting) -> Iterator[Judging]:
    """One request for every principle, with the question before the images: the common prompt."""
    with _asking(setting, question_first=True) as judge:
        yield judge


@contextmanager
def _asking(setting: Setting, *, question_first: bool) -> Iterator[Judging]:
    with _server(setting) as url:

        def judge(groups: Sequence[Group]) -> Judged:
            began = time.monotonic()
            scored = asyncio.run(_judged(url, setting, groups, question_first))
            return Judged(scored, time.monotonic() - began)

        yield judge


async def _judged(url: str, setting: Setting, groups: Sequence[Group], question_first: bool) -> int:
    """Groups, as many at a time as all contenders have; all requests of a group at once."""
    room = asyncio.Semaphore(setting.in_flight)
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", timeout=_TIMEOUT_S, max_retries=0) as client:

        async def one(group: Group) -> int:
            async with room:
                asked = list(requests(setting, group))
                # Each file once: a careful user does not encode an image anew for every principle.
                pictures = {data: _picture(data) for data in (group.source, *group.edited) if isinstance(data, bytes)}
                source = pictures[group.source] if isinstance(group.source, bytes) else None
                made = [_messages(prompt, source, pictures[edit], question_first) for _, prompt, edit in asked]
                answers = await asyncio.gather(*(_asked(client, setting, chat) for chat in made))
            read = [_is_read(setting, answer, group) for answer in answers]
            edits = {number for number, _, _ in asked}
            return sum(all(ok for (at, _, _), ok in zip(asked, read, strict=True) if at == number) for number in edits)

        return sum(await asyncio.gather(*(one(group) for group in groups)))


def _messages(prompt: RenderedPrompt, source: Any, edited: Any, question_first: bool) -> list[Any]:
    content = [
        {"type": "text", "text": part} if isinstance(part, str) else part for part in parts(prompt, source, edited)
    ]
    if question_first:
        content.sort(key=lambda part: part["type"] != "text")
    return [{"role": "system", "content": prompt.system}, {"role": "user", "content": content}]


def _picture(data: bytes) -> dict[str, Any]:
    url = f"data:{content_type(data)};base64,{base64.b64encode(data).decode('ascii')}"
    return {"type": "image_url", "image_url": {"url": url}, "uuid": hashlib.sha256(data).hexdigest()}


async def _asked(client: AsyncOpenAI, setting: Setting, chat: list[Any]) -> Any:
    limit = setting.card.sampling.think_max_tokens if setting.mode is Mode.THINK else 1
    probe: dict[str, Any] = {"logprobs": True, "top_logprobs": _TOP} if setting.mode is Mode.PROBE else {}
    return await client.chat.completions.create(
        model=str(setting.judge),
        messages=chat,
        max_completion_tokens=limit,
        temperature=0.0,
        extra_body={"repetition_penalty": 1.0},
        **probe,
    )


def _is_read(setting: Setting, answer: Any, group: Group) -> bool:
    choice = answer.choices[0]
    if setting.mode is Mode.THINK:
        return choice.finish_reason == "stop" and is_judgement(choice.message.content or "", group)
    return bool(choice.logprobs.content[0].top_logprobs)


@contextmanager
def _server(setting: Setting) -> Iterator[str]:
    port = free_port()
    arguments = vllm_setup.engine_arguments(setting.judge, setting.card, EngineOptions(), on_cpu=True)
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(setting.judge)]
    # What `vllm serve` runs; the CPU build has no package metadata of the name that its command asks for.
    command += ["--host", "127.0.0.1", "--port", str(port)]
    command += [piece for name, value in arguments.items() if name != "model" for piece in _flag(name, value)]
    environment = {**os.environ, **vllm_setup.start_environment(on_cpu=True)}
    log = setting.logs / f"vllm-serve-{port}.log"
    with running(command, port, "/health", log=log, env=environment) as url:
        yield url


def _flag(name: str, value: Any) -> list[str]:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    return [f"--{flag}", json.dumps(value) if isinstance(value, dict) else str(value)]
