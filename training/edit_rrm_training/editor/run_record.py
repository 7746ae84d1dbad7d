"""What a GRPO run's folder records of its recipe, and what of it may be another when the run is gone on with."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from edit_rrm_training.editor.recipe import EditorRecipe

_MAY_CHANGE: Final = frozenset(
    {
        "steps",
        "save_every",
        "keep",
        "report_to",
        "micro_batch",
        "sampling.batch",
        "policy.gradient_checkpointing",
        "policy.compile",
        "evaluation.count",
        "evaluation.every",
        "evaluation.steps",
        "rewards.url",
        "rewards.api_key_env",
        "rewards.timeout",
        "rewards.in_flight",
        "rewards.max_failed",
        "rewards.failed_over",
        "condition_cache_gb",
    }
)
"""Paths of fields that decide how long a run goes on, what it keeps and shows, how it fits into memory and reaches its
judge, but none of its updates, as far as the model's arithmetic allows.

Not ``evaluation.prompts``: small pictures of the sources are written once, and the curve would be of two sets.
"""

_STALE: Final = frozenset({"save_every", "evaluation.every"})
"""Where rewards are a step late, both wait for them, so that the next step is drawn by newer weights."""
_WHERE: Final[dict[str, Any]] = {"url": True, "api_key_env": True, "timeout": True}
_UNRECORDED: Final[dict[str, Any]] = {
    "rewards": {**_WHERE, "in_flight": True, "others": {"__all__": _WHERE}},
    "evaluation": {"judge": _WHERE},
}
"""Of a process more than of a run; a URL may hold a password."""


def may_change(recipe: EditorRecipe) -> frozenset[str]:
    """Paths of fields that a run may be gone on with under another value."""
    return _MAY_CHANGE - _STALE if recipe.rewards.staleness else _MAY_CHANGE


def recorded(recipe: EditorRecipe) -> dict[str, Any]:
    """What decides what a run produces, as JSON has it."""
    return {"stage": "editor", **recipe.model_dump(mode="json", exclude=_UNRECORDED)}


def _defaults(model: type[BaseModel]) -> dict[str, Any]:
    """Fields that have a default, at any depth, as JSON has them."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if not field.is_required():
            found[name] = to_jsonable_python(field.get_default(call_default_factory=True))
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found[name] = _defaults(field.annotation)
    return found


DEFAULTS: Final = _defaults(EditorRecipe)
"""What a record lacks that was written before there were such fields."""
