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
from tests.fakes.engine import FakeEngine, pictures


def by_redness(prompt: Prompt) -> str:
    """A judgement whose score is the red of an edit's first pixel, in tenths: 0 to 10."""
    red = pictures(prompt)[1].pixels.getpixel((0, 0))[0]  # type: ignore[index]  # a tuple, as edits are RGB
    return f"1. yes: yes\n2. yes: yes\n3. yes: yes\nverdicts: 1 1 1\n<score>{min(10.0, red / 10.0)}</score>"


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
    judge = LoadedJudge(Forgetful(judgement=by_redness, seconds=seconds), card, load_prompt_set(card.prompts))
    return run(Settings(sentinels="off"), loader=lambda settings: judge)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))
