"""Rewards as TRL's GRPOTrainer asks for them: ``reward_func(prompts, completions, **columns)``.

TRL takes None for "not measured": such a completion counts in no mean and gets no advantage, so nothing has to stand in
for it. For models that write images, or code and plans that make images: say how a completion becomes the edit. ::

    trainer = GRPOTrainer(..., reward_funcs=[TrlReward(client, edited=draw)])

Beside other reward functions, None counts as 0 in TRL's default sum of rewards. Set
``multi_objective_aggregation="normalize_then_sum"``: then it counts as its group's mean. TRL awaits coroutine functions
too, but this one is as fast: it sends all groups of a batch at once from the client's own thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from edit_rrm.verdicts import Mode
from edit_rrm_client.adapters.batch import Scorer, score_batch
from edit_rrm_client.failure_policy import FailureBudget
from edit_rrm_client.images import ImageInput

Draw = Callable[[Sequence[Any], dict[str, Any]], Sequence[ImageInput]]
"""From completions and the data set's columns to the edited images, in order."""


class TrlReward:
    """A reward function for TRL."""

    def __init__(
        self,
        client: Scorer,
        *,
        edited: Draw,
        instruction: str = "instruction",
        source: str = "source",
        mode: Mode = Mode.THINK,
        budget: FailureBudget | None = None,
    ) -> None:
        """Ask by these.

        Args:
            client: Asks the service.
            edited: Makes edits of completions.
            instruction: Column of the data set that has the instruction.
            source: Column that has the source image.
            mode: How principles are verified.
            budget: Stops the run where too much fails; the default budget where left out.
        """
        self.__name__ = "edit_rrm"  # what TRL's logs call it
        self._client = client
        self._edited = edited
        self._instruction = instruction
        self._source = source
        self._mode = mode
        self._budget = budget or FailureBudget()

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        """Judge a batch.

        Returns:
            A reward from 0 to 1 for each completion, None where it was not measured.

        Raises:
            KeyError: The data set lacks one of the columns.
            FailureBudgetError: Too much failed in the last steps.
        """
        for name in (self._instruction, self._source):
            if name not in columns:
                raise KeyError(
                    f"the data set has no column {name!r}; TrlReward(instruction=..., source=...) names them"
                )
        edits = self._edited(completions, columns)
        batch = score_batch(
            self._client,
            columns[self._instruction],
            columns[self._source],
            edits,
            mode=self._mode,
            budget=self._budget,
        )
        return [one.reward for one in batch.results]
