r"""A judge that takes a fixed time and looks at nothing, so that what is measured is the service around it.

python -m benchmarks.null_engine --port 8016 --seconds 0.05
"""

from __future__ import annotations

import argparse
import asyncio
import math
from collections.abc import Sequence

from edit_rrm.card import JudgeCard
from edit_rrm.grammar import format_judgement, format_principles
from edit_rrm.principles import Principle
from edit_rrm.prompts import load_prompt_set
from edit_rrm_client.bench.workload import principles
from edit_rrm_service.engines.base import (
    Backend,
    Completion,
    EngineError,
    EngineFacts,
    EngineImage,
    LabelReading,
    Prompt,
    Sampling,
)
from edit_rrm_service.server import run
from edit_rrm_service.settings import Settings
from edit_rrm_service.state import LoadedJudge

PRINCIPLES: tuple[Principle, ...] = principles(5)
_P_YES = 0.9


class NullEngine:
    """Answers every prompt after as many seconds as it is told, any number at a time."""

    def __init__(self, seconds: float) -> None:
        """Take so long for every call."""
        self._seconds = seconds

    @property
    def facts(self) -> EngineFacts:
        """Made up."""
        return EngineFacts("transformers", "null", "0" * 64, "float32", supports_probe=True, concurrency=1_024)

    async def start(self, labels: Sequence[str]) -> None:
        """Nothing to load."""

    async def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Completion | EngineError]:
        """Decompose into five principles, and find all of them met."""
        await asyncio.sleep(self._seconds)
        return [Completion(_written(prompt), "stop", 100, 0, 50) for prompt in prompts]

    async def probe(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> list[LabelReading | EngineError]:
        """Yes, with a probability of 0.9."""
        await asyncio.sleep(self._seconds)
        known = {"Yes": math.log(_P_YES), "No": math.log(1.0 - _P_YES)}
        return [LabelReading({label: known.get(label, -math.inf) for label in labels}, 100, 0) for _ in prompts]

    def backends(self) -> Sequence[Backend]:
        """None."""
        return ()

    async def check(self) -> None:
        """Always alive."""

    async def close(self) -> None:
        """Nothing to free."""


def _written(prompt: Prompt) -> str:
    if sum(isinstance(part, EngineImage) for part in prompt.parts) == 1:
        return format_principles(PRINCIPLES)
    return format_judgement(["looked at"] * len(PRINCIPLES), [True] * len(PRINCIPLES), 8.0)


def main() -> None:
    """Serve as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=0.0, help="That a call of the engine takes.")
    parser.add_argument("--cache-bytes", type=int, default=0, help="Of verdicts, and of answers kept for repeats.")
    arguments = parser.parse_args()
    kept = {"cache_bytes": arguments.cache_bytes}
    if arguments.cache_bytes:
        kept["idempotency_bytes"] = arguments.cache_bytes
    settings = Settings(port=arguments.port, sentinels="off", **kept)
    engine = NullEngine(arguments.seconds)
    raise SystemExit(
        run(settings, loader=lambda _: LoadedJudge(engine, JudgeCard(name="null"), load_prompt_set("nano")))
    )


if __name__ == "__main__":
    main()
