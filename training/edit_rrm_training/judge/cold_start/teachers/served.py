"""A running Edit-RRM service as a teacher, through the client."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from edit_rrm.grammar import format_judgement, format_principles, format_score
from edit_rrm.principles import Principle
from edit_rrm.verdicts import Mode, Outcome, Reward
from edit_rrm_client import RewardClient, RewardClientError
from edit_rrm_training.judge.cold_start.config import ServiceTeacher
from edit_rrm_training.judge.cold_start.errors import AnswerError, ColdStartError, UnavailableError
from edit_rrm_training.judge.cold_start.exemplars import Exemplar
from edit_rrm_training.judge.cold_start.rows import EditRow
from edit_rrm_training.judge.cold_start.teachers.base import Source
from edit_rrm_training.judge.cold_start.teachers.chat import api_key

AnswerT = TypeVar("AnswerT")

_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 8.0
_PASSING = {Outcome.TIMED_OUT, Outcome.OVERLOADED, Outcome.CANCELLED, Outcome.ENGINE_ERROR}
"""Outcomes that say nothing about the edit."""


class ServedTeacher:
    """Decomposes and judges as its judge card says; it takes no exemplars and no temperature."""

    takes_exemplars = False

    def __init__(self, name: str, config: ServiceTeacher, pause_s: float = _PAUSE_S) -> None:
        """Prepare connections.

        Args:
            name: Its name in the configuration.
            config: Where it is.
            pause_s: First pause between attempts; doubles with each, jittered.

        Raises:
            ColdStartError: The URL or the key cannot be used.
        """
        self._name, self._config, self._pause_s = name, config, pause_s
        try:
            # Retried here, by the budget of a row and the teacher's own count.
            key = api_key(name, config.api_key_env)
            self._client = RewardClient(config.url, api_key=key, timeout=config.budget_s, max_attempts=1)
        except RewardClientError as error:
            raise ColdStartError(f"teacher {name}: {error}") from None
        self._pool = ThreadPoolExecutor(config.concurrency, thread_name_prefix=f"teacher-{name}")
        self._identity: str | None = None

    @property
    def source(self) -> Source:
        """Who this is; the model is the service's identity hash, once it has answered."""
        return Source(self._name, self._identity or "edit-rrm-service")

    async def close(self) -> None:
        """Close the connections; answers under way are not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    async def write(self, row: EditRow, exemplars: Sequence[Exemplar], seed: int) -> str:
        """As `PrincipleWriter`."""
        reply = await self._ask(lambda: self._client.decompose(row.instruction, row.source))
        self._identity = reply.identity
        return format_principles(reply.principles)

    async def think(self, row: EditRow, principles: Sequence[Principle], seed: int) -> str:
        """As `Thinker`."""

        def judge() -> Reward:
            group = self._client.rewards(
                row.instruction, row.source, [row.edited], principles=principles, mode=Mode.THINK
            )
            reward = group.raise_for_error().results[0]
            if reward.outcome in _PASSING:
                assert reward.error is not None
                raise RewardClientError(reward.error.message, code=reward.outcome.value, retryable=True)
            return reward

        reward = await self._ask(judge)
        self._identity = reward.identity
        if reward.outcome is not Outcome.SCORED or reward.score is None:
            raise AnswerError(reward.outcome.value, reward.error.message if reward.error else reward.outcome.value)
        return judgement_text(reward)

    async def _ask(self, call: Callable[[], AnswerT]) -> AnswerT:
        """Run a call in a thread of its own, again where it may help and the budget allows."""
        deadline = time.monotonic() + self._config.budget_s
        for attempt in range(self._config.retries + 1):
            try:
                return await asyncio.get_running_loop().run_in_executor(self._pool, call)
            except RewardClientError as error:
                message = f"teacher {self._name} at {self._config.url}: {error}"
                if error.status in (401, 403, 404) or (error.code == "bad_response" and not error.retryable):
                    raise ColdStartError(message) from None
                if not error.retryable:
                    raise AnswerError(error.code, message) from None
                pause = random.uniform(0.5, 1.0) * min(_LONGEST_PAUSE_S, self._pause_s * 2**attempt)  # noqa: S311 - jitter
                if attempt == self._config.retries or time.monotonic() + pause >= deadline:
                    raise UnavailableError(message) from None
            await asyncio.sleep(pause)
        raise AssertionError("the last attempt returns or raises")


def judgement_text(reward: Reward) -> str:
    """A scored reward as the text of a judgement."""
    assert reward.score is not None
    passed = [verdict.passed for verdict in reward.verdicts]
    rationales = [verdict.rationale for verdict in reward.verdicts if verdict.rationale is not None]
    if len(rationales) == len(passed):
        return format_judgement(rationales, passed, reward.score)
    verdicts = " ".join(str(int(verdict)) for verdict in passed)
    return f"{reward.reasoning or ''}\nverdicts: {verdicts}\n<score>{format_score(reward.score)}</score>".lstrip()
