"""How judges are asked: the one that a run names first, others whose rewards are added, and one that is held out."""

from __future__ import annotations

import os
import re
from typing import Annotated, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from edit_rrm.verdicts import Aggregation, Mode

JUDGE: Final = "judge"
"""What logs call the judge that `rewards` names."""
NO_EDIT: Final = "no_edit"
"""What logs call the penalty for edits that are their sources."""

Positive = Annotated[float, Field(gt=0.0)]
Weight = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
"""Of a judge: one that is to be watched and not learnt from is `evaluation.judge`."""

_TAKEN = frozenset({JUDGE, NO_EDIT, "success", "done", "kept"})
"""Names that logs have already; the last three are measures of the shapes world."""


class Strict(BaseModel):
    """A part of a recipe: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _fit_for_logs(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,39}", name):
        raise ValueError("a judge's name is 1 to 40 letters, digits, _ and -, beginning with a letter: logs use it")
    if name in _TAKEN or name == "reward" or name.startswith("reward_"):
        raise ValueError(f"{name} is the name of something else in the log: choose another")
    return name


Name = Annotated[str, AfterValidator(_fit_for_logs)]


class _Asked(Strict):
    """How a judge is asked."""

    mode: Mode = Mode.THINK
    aggregation: Aggregation | None = None
    """How verdicts become a reward; null takes the service's own way for the mode."""

    @model_validator(mode="after")
    def _there_is_a_score(self) -> Self:
        if self.mode is Mode.PROBE and self.aggregation is Aggregation.MODEL:
            raise ValueError("mode probe writes no score: choose another aggregation than model, or mode think")
        return self


class JudgeRecipe(_Asked):
    """A judge: its service, and how it is asked."""

    url: str | tuple[str, ...]
    """Of the service, or its replicas."""
    api_key_env: str = "EDIT_RRM_API_KEY"
    """Environment variable that holds the key, where the service wants one."""
    timeout: Positive = 900.0
    """Seconds that a group may take with all its tries: a service that is away for less only slows the run."""

    @property
    def api_key(self) -> str | None:
        """The key, if there is one."""
        return os.environ.get(self.api_key_env) or None

    @property
    def urls(self) -> tuple[str, ...]:
        """Of all replicas."""
        return (self.url,) if isinstance(self.url, str) else self.url


class _FurtherJudge(_Asked):
    """A judge beside the one that `rewards` names."""

    name: Name
    url: str | tuple[str, ...] | None = None
    """Of another service, or its replicas; null asks the service of `rewards`."""
    api_key_env: str | None = None
    """Null takes the key of the service of `rewards`; of another service, `EDIT_RRM_API_KEY`."""
    timeout: Positive | None = None
    """Null takes that of `rewards`."""

    def beside(self, first: JudgeRecipe) -> JudgeRecipe:
        """The judge with all that it shares with the first one."""
        # A key that was named for one service is never sent to another one unasked.
        key = first.api_key_env if self.url is None else JudgeRecipe.model_fields["api_key_env"].default
        return JudgeRecipe(
            url=first.url if self.url is None else self.url,
            api_key_env=self.api_key_env or key,
            timeout=self.timeout or first.timeout,
            mode=self.mode,
            aggregation=self.aggregation,
        )


class OtherReward(_FurtherJudge):
    """A further judge whose rewards are added to those of the one that `rewards` names."""

    weight: Weight = 1.0


class HeldOutJudge(_FurtherJudge):
    """A judge of evaluation edits that is never trained on."""

    name: Name = "held_out_judge"
