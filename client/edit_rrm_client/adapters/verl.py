"""Rewards for verl and verl-omni: a custom reward function, asked for one edit at a time.

verl-omni's policies make images, and its ``visual`` reward manager hands them over. In its configuration::

    reward.custom_reward_function.path=pkg://edit_rrm_client.adapters.verl
    +reward.custom_reward_function.reward_kwargs.url=http://judge:8000

The instruction is ``extra_info["instruction"]``, else the ground truth; the source is ``extra_info["source_img"]``,
``["source"]`` or ``["source_image"]``. Where a data set has the source in its ``images`` column only, name
`verl_manager.EditRrmRewardManager` instead. verl's own policies write text; say in a file of your own how it becomes an
edit::

    judge = VerlReward(AsyncRewardClient("http://judge:8000"))

    async def compute_score(data_source, solution_str, ground_truth, extra_info):
        return await judge(ground_truth, extra_info["source"], draw(solution_str))

**What was not measured.** verl knows no mask: a NaN makes the advantages of its whole group NaN, and None is no number.
So there are two honest ways, and ``on_failure`` chooses:

- ``raise`` (the default): `UnscoredError` ends the step, and verl the run, which resumes from its last checkpoint. The
  client has tried again by then for as long as its timeout allows; give it minutes.
- ``group_mean``: the edit gets the mean of those of its group that were measured, so that GRPO's advantage of it is 0.
  That holds for whole groups only: say ``group_size`` (verl's ``rollout.n``), let one worker see them all
  (``reward.num_workers=1``, which suffices: it only waits), and let ``within_s`` cover how far a group's edits are
  apart. An edit of a group that is not whole, or of which nothing was measured, raises; validation's groups have
  ``val_kwargs.n`` edits and wait in vain for more. ``measured`` (0 or 1) and ``outcome`` are in the reward's extra info
  either way, and a `FailureBudget` stops a run in which too much fails.

Two things would turn failures into zeros: verl's ``rate_limited`` reward manager, which catches every exception (this
client keeps to the service's limits by itself), and verl-omni's multi-reward manager where an entry does not say
``required: true``.

Written against verl 0.9.1 and verl-omni as of August 2026 (`VisualRewardManager`, uint8 images of shape (C, H, W)).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal, TypedDict

import numpy as np

from edit_rrm.verdicts import Mode
from edit_rrm_client.adapters.coalesce import AsyncScorer, Coalescer, Judged
from edit_rrm_client.adapters.flow_grpo import clamped
from edit_rrm_client.async_client import AsyncRewardClient
from edit_rrm_client.errors import UnscoredError
from edit_rrm_client.failure_policy import FailureBudget
from edit_rrm_client.group import GroupResult, unscored_error
from edit_rrm_client.images import ImageInput

OnFailure = Literal["raise", "group_mean"]
SOURCE_KEYS = ("source_img", "source", "source_image")
"""Where the extra info may have an edit's source, in this order."""

_FROM_MANAGERS = frozenset(
    {"data_source", "reward_router_address", "reward_model_tokenizer", "model_name", "sampling_params", "device"}
)
"""What reward managers pass besides, and a judge behind HTTP has no use for."""


class Score(TypedDict):
    """A reward as verl's managers read it; all but the score becomes the reward's extra info."""

    score: float
    """From 0 to 1."""
    measured: float
    """1, or 0 where the score is its group's mean."""
    outcome: str


class VerlReward:
    """Judges one edit at a time; edits of one instruction and source that are asked for together travel together."""

    def __init__(
        self,
        client: AsyncScorer,
        *,
        on_failure: OnFailure = "raise",
        group_size: int | None = None,
        within_s: float | None = None,
        mode: Mode = Mode.THINK,
        budget: FailureBudget | None = None,
    ) -> None:
        """Ask by these.

        Args:
            client: Asks the service.
            on_failure: What an edit gets that was not measured; the module says when to choose which.
            group_size: Edits of a group, 2 to 128; where left out, as many travel together as arrive together.
            within_s: Seconds that a group's first edit waits for the others; 0.02 where left out, and 10 for
                ``group_mean``, which needs all of them.
            mode: How principles are verified.
            budget: Stops the run where too much fails; the default budget where left out.

        Raises:
            ValueError: There is no such policy, or it is ``group_mean`` and the group's size is not known.
        """
        if on_failure not in ("raise", "group_mean"):
            raise ValueError(f"on_failure is 'raise' or 'group_mean', not {on_failure!r}")
        if on_failure == "group_mean" and (group_size is None or group_size < 2):
            raise ValueError("group_mean needs group_size, the edits of a group: verl's actor_rollout_ref.rollout.n")
        sizes = {} if group_size is None else {"size": group_size}
        waits = within_s if within_s is not None else 10.0 if on_failure == "group_mean" else 0.02
        self._coalescer = Coalescer(client, within_s=waits, mode=mode, **sizes)
        self._on_failure = on_failure
        self._group_size = group_size
        self._budget = budget or FailureBudget()

    async def __call__(self, instruction: str, source: ImageInput, edited: ImageInput) -> Score:
        """Judge an edit.

        Raises:
            UnscoredError: It was not measured, and nothing honest can stand in for it.
            FailureBudgetError: Too much failed lately.
            RewardClientError: As `AsyncRewardClient.rewards`.
        """
        judged = await self._coalescer.judge(instruction, source, edited)
        if judged.place == 0:  # once a group
            self._budget.observe([judged.group])
        outcome = judged.result.outcome.value
        if judged.result.reward is not None:
            return Score(score=judged.result.reward, measured=1.0, outcome=outcome)
        return Score(score=self._group_mean(judged), measured=0.0, outcome=outcome)

    def _group_mean(self, judged: Judged) -> float:
        group = judged.group
        if self._on_failure == "raise":
            raise _unscored(judged, "resume the run from its last checkpoint, or set on_failure=group_mean")
        if len(group.results) != self._group_size:
            advice = "set reward.num_workers=1 and a longer within_s, so that groups are whole"
            raise _unscored(judged, f"{len(group.results)} of its group's {self._group_size} edits came; {advice}")
        if not group.mask.any():
            raise _unscored(judged, "nothing of its group was; look at the service and resume the run")
        return float(group.rewards[group.mask].astype(np.float64).mean())


async def compute_score(
    solution_image: ImageInput,
    ground_truth: str,
    extra_info: Mapping[str, Any],
    *,
    url: str | Sequence[str],
    api_key: str | None = None,
    timeout_s: float = 600.0,
    expect_identity: str | None = None,
    mode: str = "think",
    on_failure: OnFailure = "raise",
    group_size: int | None = None,
    within_s: float | None = None,
    **context: Any,
) -> Score:
    """Judge the image that verl-omni's reward managers hand over.

    Args:
        solution_image: uint8 or floats from 0 to 1, shape (C, H, W) or (1, C, H, W).
        ground_truth: The instruction, where the extra info has none.
        extra_info: Has the source.
        url: From here on ``reward_kwargs``, as `AsyncRewardClient` and `VerlReward` know them.
        api_key: Key to send.
        timeout_s: Seconds that a group may take with all its tries and waits.
        expect_identity: The judge's identity; ``first`` for that of the first answer.
        mode: ``think`` or ``probe``.
        on_failure: ``raise`` or ``group_mean``.
        group_size: Edits of a group.
        within_s: Seconds that a group's first edit waits for the others.
        context: What reward managers pass to every function.

    Raises:
        TypeError: An argument that neither verl nor this function knows.
        KeyError: There is no source in the extra info.
        ValueError: More than one image, or a setting that is none.
        RewardClientError: As `VerlReward`.
    """
    if unknown := sorted(context.keys() - _FROM_MANAGERS):
        raise TypeError(f"reward_kwargs that compute_score does not know: {', '.join(unknown)}")
    urls = url if isinstance(url, str) else tuple(url)
    reward = shared_reward(urls, api_key, timeout_s, expect_identity, mode, on_failure, group_size, within_s)
    instruction = extra_info.get("instruction") or ground_truth
    return await reward(str(instruction), source_of(extra_info), single_image(solution_image))


@cache
def shared_reward(
    url: str | tuple[str, ...],
    api_key: str | None,
    timeout_s: float,
    expect_identity: str | None,
    mode: str,
    on_failure: OnFailure,
    group_size: int | None,
    within_s: float | None,
) -> VerlReward:
    """One of each kind a process, so that its calls meet. Arguments and errors are `compute_score`'s."""
    client = shared_client(url, api_key, timeout_s, expect_identity)
    return VerlReward(client, on_failure=on_failure, group_size=group_size, within_s=within_s, mode=Mode(mode))


@cache
def shared_client(
    url: str | tuple[str, ...], api_key: str | None, timeout_s: float, expect_identity: str | None
) -> AsyncRewardClient:
    """The client of one service; verl leaves its connections to the end of the process."""
    return AsyncRewardClient(url, api_key=api_key, timeout=timeout_s, expect_identity=expect_identity)


def source_of(extra_info: Mapping[str, Any]) -> ImageInput:
    """The source image in an edit's extra info.

    Raises:
        KeyError: There is none; the message says where it was looked for.
    """
    for key in SOURCE_KEYS:
        if extra_info.get(key) is not None:
            return unpacked(extra_info[key])
    raise KeyError(
        f"no source image in extra_info {sorted(extra_info)}: put its file's bytes under {SOURCE_KEYS[0]!r} in the "
        "data set, or name verl_manager.EditRrmRewardManager, which takes it from the prompt"
    )


def unpacked(image: Any) -> ImageInput:
    """An image as data sets store it, ``{"bytes": ...}`` or ``{"path": ...}``, without its box."""
    if isinstance(image, Mapping):
        content = next((image[key] for key in ("bytes", "image", "path") if image.get(key) is not None), None)
        if content is None:
            raise KeyError(f"an image that is a mapping has 'bytes', 'image' or 'path', not {sorted(image)}")
        image = content
    found: ImageInput = image
    return found


def single_image(images: Any) -> ImageInput:
    """The one image of shape (C, H, W) in a rollout's answer.

    Raises:
        ValueError: It is a video, or several images.
    """
    if getattr(images, "ndim", 3) == 4:
        if len(images) != 1:
            raise ValueError(f"{len(images)} images came where one edit was expected; videos are not judged")
        images = images[0]
    return clamped(images)


def _unscored(judged: Judged, advice: str) -> UnscoredError:
    why = judged.result.error
    assert why is not None, "an edit that was not scored says why"
    message = f"an edit was not scored: {why.code}: {why.message}; verl cannot leave a reward out: {advice}"
    group = judged.group
    alone = GroupResult((judged.result,), attempts=group.attempts, elapsed=group.elapsed, error=group.error)
    return unscored_error(message, alone)
