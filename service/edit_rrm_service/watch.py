"""Watching over a judge: whether its engine lives, and whether it still tells good edits from bad ones."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from edit_rrm.card import JudgeCard
from edit_rrm.verdicts import Mode, Outcome, Reward
from edit_rrm_service.admission import Admission
from edit_rrm_service.callers import Caller
from edit_rrm_service.engines.base import Engine, EngineDeadError, EngineError
from edit_rrm_service.errors import ApiError
from edit_rrm_service.judge import Call, Judge, Options
from edit_rrm_service.lifecycle import Lifecycle
from edit_rrm_service.sentinel import Finding, Sentinel, examine
from edit_rrm_service.work import WorkModel

_logger = logging.getLogger(__name__)

_CALLER = Caller("sentinels")
_WITHIN_S = 60.0
_AGAIN_S = 15.0
"""After a round that did not end well."""


class Observer(Protocol):
    """What watching tells the metrics."""

    def sentinel(self, name: str, mode: Mode, score: float | None) -> None:
        """A sentinel was judged."""

    def sentinels(self, verdict: str) -> None:
        """A round of sentinels ended."""


class Watch:
    """Keeps a lifecycle true to its judge."""

    def __init__(
        self,
        engine: Engine,
        judge: Judge,
        card: JudgeCard,
        lifecycle: Lifecycle,
        admission: Admission,
        work: WorkModel,
        observer: Observer,
        *,
        sentinels: Sequence[Sentinel],
        modes: Sequence[Mode],
        enforce: bool,
        engine_every_s: float,
        sentinels_every_s: float,
    ) -> None:
        """Watch by these.

        Args:
            engine: Is asked whether it lives.
            judge: Judges the sentinels; one of its own, which remembers and counts nothing.
            card: That judge's.
            lifecycle: Is told.
            admission: Sentinels wait for their turn like everybody.
            work: Predicts what they take.
            observer: Is told what came of them.
            sentinels: The known edits, the good one first; none for no such watch.
            modes: Ways to verify that are to be right.
            enforce: Whether a broken order makes the service unready, or is only logged and counted.
            engine_every_s: Pause between looks at the engine.
            sentinels_every_s: Pause between rounds of sentinels.
        """
        self._engine = engine
        self._judge = judge
        self._card = card
        self._lifecycle = lifecycle
        self._admission = admission
        self._work = work
        self._observer = observer
        self._sentinels = sentinels
        self._modes = modes
        self._enforce = enforce
        self._engine_every_s = engine_every_s
        self._sentinels_every_s = sentinels_every_s
        self._engine_problem: str | None = None
        self._judge_problem: str | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Judge the sentinels once, declare the judge ready if they are in order, and go on watching."""
        finding = await self._round()
        self._settle()
        self._tasks = [asyncio.create_task(self._watch_engine())]
        if self._sentinels:
            self._tasks.append(asyncio.create_task(self._watch_judge(finding)))

    def stop(self) -> None:
        """Stop watching."""
        for task in self._tasks:
            task.cancel()

    async def _watch_engine(self) -> None:
        while True:
            await asyncio.sleep(self._engine_every_s)
            try:
                await self._engine.check()
            except EngineDeadError as error:
                _logger.error("the engine is dead: %s", error)
                self._lifecycle.dead(f"the engine is dead: {error}")
                return
            except EngineError as error:
                self._engine_problem = f"the engine cannot work: {error}"
            except Exception as error:
                # Whatever went wrong in looking, nobody looks any more if this task ends of it.
                _logger.exception("the engine could not be checked")
                self._engine_problem = f"the engine could not be checked: {type(error).__name__}: {error}"
            else:
                self._engine_problem = None
            self._settle()

    async def _watch_judge(self, finding: Finding) -> None:
        while True:
            soon = min(_AGAIN_S, self._sentinels_every_s)
            await asyncio.sleep(self._sentinels_every_s if finding.verdict == "ok" else soon)
            finding = await self._round()
            self._settle()

    async def _round(self) -> Finding:
        """Judge all sentinels in every mode. A round that says nothing leaves the last one's word standing."""
        if not self._sentinels:
            return Finding("ok")
        try:
            findings = [await self._judged(mode) for mode in self._modes]
        except Exception as error:  # the next round is still to come
            _logger.exception("sentinels could not be judged")
            reason = f"sentinels could not be judged ({type(error).__name__}: {error})"
            findings = [Finding("inconclusive", reason)]
        finding = min(findings, key=lambda one: ("broken", "inconclusive", "ok").index(one.verdict))
        self._observer.sentinels(finding.verdict)
        if finding.verdict == "inconclusive":
            _logger.warning("%s", finding.reason)
            if not self._lifecycle.started and self._enforce:
                self._judge_problem = finding.reason
            return finding
        if finding.verdict == "broken":
            _logger.error("the judge has gone wrong: %s", finding.reason)
        problem = f"the judge has gone wrong: {finding.reason}" if finding.verdict == "broken" else None
        self._judge_problem = problem if self._enforce else None
        return finding

    async def _judged(self, mode: Mode) -> Finding:
        rewards = await asyncio.gather(*(self._reward(sentinel, mode) for sentinel in self._sentinels))
        for sentinel, reward in zip(self._sentinels, rewards, strict=True):
            self._observer.sentinel(sentinel.name, mode, reward.score)
        finding = examine([sentinel.name for sentinel in self._sentinels], rewards)
        reason = None if finding.reason is None else f"{finding.reason} (mode {mode.value})"
        return Finding(finding.verdict, reason)

    async def _reward(self, sentinel: Sentinel, mode: Mode) -> Reward:
        area = sentinel.source.pixels.width * sentinel.source.pixels.height
        work = self._work.predict(sentinel.instruction, None, mode, pixels=area)
        try:
            with self._admission.admitted(_CALLER, work.total(1), remaining_s=_WITHIN_S) as ticket:
                call = Call(
                    instruction=sentinel.instruction,
                    source=sentinel.source,
                    options=self._options(mode),
                    principles=None,
                    request_id="sentinels",
                    identity="",
                    deadline=asyncio.get_running_loop().time() + _WITHIN_S,
                    ticket=ticket,
                    work=work,
                )
                return (await self._judge.rewards(call, [sentinel.edited])).rewards[0]
        except ApiError as error:
            return Reward(outcome=Outcome.OVERLOADED, mode=mode, error=error.detail("sentinels"))

    def _options(self, mode: Mode) -> Options:
        """Greedy, aggregated as the card has it."""
        aggregation = self._card.probe_aggregation if mode is Mode.PROBE else self._card.think_aggregation
        return Options(mode, aggregation, remember=False)

    def _settle(self) -> None:
        problem = self._engine_problem or self._judge_problem
        if problem is None:
            self._lifecycle.ready()
        else:
            self._lifecycle.unfit(problem)
