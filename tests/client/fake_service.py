"""The real HTTP service on a free port of this machine, over an engine whose answers a test chooses."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import uvicorn
from PIL import Image
from starlette.types import ASGIApp

from edit_rrm.card import JudgeCard
from edit_rrm.grammar import format_judgement, format_principles
from edit_rrm.principles import Category, Principle
from edit_rrm.prompts import load_prompt_set
from edit_rrm_service.app import create_app
from edit_rrm_service.engines.base import (
    Completion,
    EngineError,
    EngineFacts,
    EngineImage,
    LabelReading,
    Prompt,
    Sampling,
)
from edit_rrm_service.settings import Settings
from edit_rrm_service.state import LoadedJudge

PRINCIPLES = (
    Principle(question="Is the star blue?", category=Category.INSTRUCTION_FOLLOWING),
    Principle(question="Does it keep the circle?", category=Category.FEATURE_PRESERVATION),
)
P_YES = 0.9

Answer = Callable[[Image.Image], str]
"""What the judge writes about an edited image."""


def judgement(score: float, passed: Sequence[bool] = (True, True)) -> str:
    """A judgement of the two principles."""
    return format_judgement(["was red, is blue", "still there"], passed, score)


class ScriptedEngine:
    """Decomposes every instruction into the same principles, and writes about edits what it was told to."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    @property
    def facts(self) -> EngineFacts:
        return EngineFacts(
            engine="transformers", model="scripted", weights_digest="0" * 64, dtype="float32", supports_probe=True
        )

    async def start(self, labels: Sequence[str]) -> None:
        """Nothing to load."""

    async def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Completion | EngineError]:
        return [Completion(self._write(prompt), "stop", 10, 0, 5) for prompt in prompts]

    async def probe(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> list[LabelReading | EngineError]:
        known: Mapping[str, float] = {"Yes": math.log(P_YES), "No": math.log(1.0 - P_YES)}
        logprobs = {label: known.get(label, -math.inf) for label in labels}
        return [LabelReading(logprobs, 10, 0) for _ in prompts]

    def backends(self) -> tuple[()]:
        return ()

    async def check(self) -> None:
        """Always alive."""

    async def close(self) -> None:
        """Nothing to free."""

    def _write(self, prompt: Prompt) -> str:
        images = [part for part in prompt.parts if isinstance(part, EngineImage)]
        return format_principles(PRINCIPLES) if len(images) == 1 else self._answer(images[-1].pixels)


@contextmanager
def judging_service(answer: Answer, **settings: object) -> Iterator[str]:
    """Serve a judge with scripted answers; yields the base URL."""
    loaded = LoadedJudge(ScriptedEngine(answer), JudgeCard(name="scripted"), load_prompt_set("nano"))
    with running(create_app(Settings.model_validate({"sentinels": "off", **settings}), loader=lambda _: loaded)) as url:
        yield url


@contextmanager
def running(app: ASGIApp, port: int = 0) -> Iterator[str]:
    """Serve an application from a thread, on a free port where none is given; yields the base URL."""
    config = uvicorn.Config(app, port=port, log_config=None, access_log=False, ws="none", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30.0
    while not server.started:
        assert thread.is_alive(), "uvicorn stopped"
        assert time.monotonic() < deadline, "uvicorn did not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=30.0)
