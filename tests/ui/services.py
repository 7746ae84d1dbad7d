"""Services with the page on, over an engine that a test scripts and can kill."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edit_rrm.card import JudgeCard
from edit_rrm.prompts import load_prompt_set
from edit_rrm_service.app import create_app
from edit_rrm_service.engines.base import EngineDeadError
from edit_rrm_service.settings import Settings
from edit_rrm_service.state import LoadedJudge
from tests.client.fake_service import Answer, ScriptedEngine, running


class Mortal(ScriptedEngine):
    """An engine that dies when it is told to."""

    dead = False

    async def check(self) -> None:
        """Alive until then."""
        if self.dead:
            raise EngineDeadError("the engine's process has ended")


@contextmanager
def page_service(answer: Answer, **settings: Any) -> Iterator[tuple[str, Mortal]]:
    """URL and engine of a service with the page."""
    engine = Mortal(answer)
    card = JudgeCard(name="scripted", summary="It says what a test tells it to.")
    judge = LoadedJudge(engine, card, load_prompt_set("standard"))
    app = create_app(
        Settings(**{"sentinels": "off", "ui": True, "engine_check_ms": 50, **settings}), loader=lambda _: judge
    )
    with running(app) as url:
        yield url, engine
