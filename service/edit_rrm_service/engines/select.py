"""Which engine runs a judge."""

from __future__ import annotations

import logging

from edit_rrm.card import JudgeCard
from edit_rrm_service.engines.base import Engine, EngineStartError
from edit_rrm_service.engines.options import EngineName, EngineOptions

_logger = logging.getLogger(__name__)


def create_engine(name: EngineName, *, model: str, card: JudgeCard, options: EngineOptions | None = None) -> Engine:
    """Create an engine; `start` loads it.

    Args:
        name: `auto` takes `openai` where base URLs are given, else `vllm` where it imports (which takes ten seconds the
            first time: call this off the event loop), else `transformers`.
        model: A checkpoint folder or hub name; for `openai` the name the server knows it by, or empty for its only one.
        card: The judge card, from `edit_rrm_service.engines.checkpoint.judge_card` or written by hand.
        options: How to run it.

    Raises:
        EngineStartError: The engine needs something that is not there.
    """
    options = options or EngineOptions()
    if name == "auto":
        name = _automatic(options)
    if name == "openai":
        from edit_rrm_service.engines.openai import OpenAIEngine

        return OpenAIEngine(model, card, options)
    if name == "vllm":
        from edit_rrm_service.engines.vllm import VllmEngine

        return VllmEngine(model, card, options)
    if name == "transformers":
        from edit_rrm_service.engines.transformers import TransformersEngine

        return TransformersEngine(model, card, options)
    raise EngineStartError(f"there is no engine {name!r}; there are auto, vllm, openai and transformers")


def _automatic(options: EngineOptions) -> EngineName:
    if options.base_urls:
        return "openai"
    from edit_rrm_service.engines.vllm_setup import import_error

    reason = import_error()
    if reason is None:
        return "vllm"
    _logger.warning("vLLM cannot be used here (%s): falling back to the transformers engine, which is slower", reason)
    return "transformers"
