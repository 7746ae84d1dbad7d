"""Transformers without a server: batches of padded prompts, every prefix computed for every prompt."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmarks.speed.child import in_a_process
from benchmarks.speed.contender import Judged, Judging, Setting, is_judgement
from benchmarks.speed.engine_prompts import engine_prompts
from edit_rrm.verdicts import Mode
from edit_rrm_client import Group
from edit_rrm_service.engines.base import Completion, LabelReading, Sampling
from edit_rrm_service.engines.options import EngineOptions
from edit_rrm_service.engines.transformers import TransformersEngine


@contextmanager
def transformers_batches(setting: Setting) -> Iterator[Judging]:
    """This service's portable engine, asked directly, in a process of its own."""
    with in_a_process(_made, setting) as judge:
        yield judge


def _made(setting: Setting) -> Judging:
    card = setting.card
    labels = [*card.labels.yes, *card.labels.no]
    engine = TransformersEngine(str(setting.judge), card, EngineOptions())
    asyncio.run(engine.start(labels))

    def judge(groups: Sequence[Group]) -> Judged:
        asked = engine_prompts(setting, groups)
        prompts = [prompt for _, prompt in asked]
        began = time.monotonic()
        if setting.mode is Mode.THINK:
            written = asyncio.run(engine.generate(prompts, Sampling(card.sampling.think_max_tokens, 0.0)))
            read = [
                isinstance(one, Completion) and one.finish_reason == "stop" and is_judgement(one.text, groups[place[0]])
                for (place, _), one in zip(asked, written, strict=True)
            ]
        else:
            read = [isinstance(one, LabelReading) for one in asyncio.run(engine.probe(prompts, labels))]
        seconds = time.monotonic() - began
        unread = {place for (place, _), is_read in zip(asked, read, strict=True) if not is_read}
        return Judged(len({place for place, _ in asked} - unread), seconds)

    return judge
