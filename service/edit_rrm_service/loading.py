"""From settings to a judge: its checkpoint, card, prompts and engine."""

from __future__ import annotations

from edit_rrm.card import JudgeCard
from edit_rrm.prompts import load_prompt_set
from edit_rrm_service.engines.checkpoint import find_checkpoint, judge_card
from edit_rrm_service.engines.select import create_engine
from edit_rrm_service.settings import SHIPPED_JUDGE, Settings
from edit_rrm_service.state import LoadedJudge


def load_judge(settings: Settings) -> LoadedJudge:
    """Find the judge that the settings name and create its engine. Blocking.

    Raises:
        EngineStartError: The checkpoint or the engine cannot be used.
        CardError: Its card cannot.
    """
    if settings.engine == "openai" or (settings.engine == "auto" and settings.base_urls):
        # The weights are elsewhere; the default card speaks to any instruction-tuned VLM.
        card = JudgeCard(name=settings.model if settings.model != str(SHIPPED_JUDGE) else "remote")
        model = "" if settings.model == str(SHIPPED_JUDGE) else settings.model
    else:
        checkpoint = find_checkpoint(settings.model)
        card, model = judge_card(checkpoint), str(checkpoint)
    engine = create_engine(settings.engine, model=model, card=card, options=settings.engine_options)
    return LoadedJudge(engine, card, load_prompt_set(card.prompts))
