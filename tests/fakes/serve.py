"""A service on a fake engine as a process, for what only a process can show: `python -m tests.fakes.serve SECONDS`."""

from __future__ import annotations

import sys

from edit_rrm.card import JudgeCard
from edit_rrm.prompts import load_prompt_set
from edit_rrm_service.server import run
from edit_rrm_service.settings import Settings
from edit_rrm_service.state import LoadedJudge
from tests.fakes.engine import FakeEngine


def main(seconds: float) -> int:
    """Serve as the environment says, with an engine that takes this long for every call."""
    card = JudgeCard(name="fake judge")
    judge = LoadedJudge(FakeEngine(seconds=seconds), card, load_prompt_set(card.prompts))
    return run(Settings(sentinels="off"), loader=lambda settings: judge)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))
