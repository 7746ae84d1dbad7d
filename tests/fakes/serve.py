"""A service on a fake engine as a process, for what only a process can show: `python -m tests.fakes.serve SECONDS`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from edit_rrm.card import JudgeCard
from edit_rrm.prompts import load_prompt_set
from edit_rrm_service.engines.base import Completion, EngineError, LabelReading, Prompt, Sampling
from edit_rrm_service.server import run
from edit_rrm_service.settings import Settings
from edit_rrm_service.state import LoadedJudge
from tests.fakes.engine import FakeEngine


class Forgetful(FakeEngine):
    """Remembers nothing of what it was asked: what grows in its process is the service's."""

    async def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Completion | EngineError]:
        self.generated.clear()
        self.samplings.clear()
        return await super().generate(prompts, sampling)

    async def probe(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> list[LabelReading | EngineError]:
        self.probed.clear()
        return await super().probe(prompts, labels)


def main(seconds: float) -> int:
    """Serve as the environment says, with an engine that takes this long for every call."""
    card = JudgeCard(name="fake judge")
    judge = LoadedJudge(Forgetful(seconds=seconds), card, load_prompt_set(card.prompts))
    return run(Settings(sentinels="off"), loader=lambda settings: judge)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))
