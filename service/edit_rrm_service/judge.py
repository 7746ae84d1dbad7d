"""The judge: decompose -> verify -> aggregate, over an engine.

Prompts of a group share everything up to the edited image, and the probes of one edit everything up to the question, so
that engines compute the shared prefix once. Each edit ends in its own outcome; one bad edit costs that edit alone.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from edit_rrm.aggregation import aggregate, average, reward_of
from edit_rrm.card import JudgeCard
from edit_rrm.grammar import Failure, Judgement, parse_judgement, parse_principles
from edit_rrm.principles import Principle
from edit_rrm.prompts import ImagePart, PromptSet, RenderedPrompt
from edit_rrm.verdicts import Aggregation, ErrorDetail, Mode, Outcome, Reward, Usage, Verdict
from edit_rrm_service.admission import Ticket
from edit_rrm_service.cache_entry import DecompositionRecord, VerificationRecord
from edit_rrm_service.cache_key import decomposition_key, verification_key
from edit_rrm_service.engines.base import Completion, Engine, EngineError, EngineImage, LabelReading, Prompt, Sampling
from edit_rrm_service.errors import UnscoredError
from edit_rrm_service.metrics import Metrics
from edit_rrm_service.readings import below_floor, label_mass, verdict_from_logprobs
from edit_rrm_service.shared_work import SharedWork
from edit_rrm_service.tracing import Attribute, NoTracer, Tracer, outgoing
from edit_rrm_service.work import Work, WorkModel

T = TypeVar("T")
Cached = Literal["hit", "miss", "shared", "bypass"]


@dataclass(frozen=True, slots=True)
class Options:
    """How to judge: the request's wishes with the card's defaults filled in."""

    mode: Mode
    aggregation: Aggregation
    samples: int = 1
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    remember: bool = True
    """Whether what was measured before may be returned, and this kept."""

    @property
    def repeatable(self) -> bool:
        """Whether judging again would be to measure the same again."""
        return self.mode is Mode.PROBE or self.temperature == 0.0 or self.seed is not None


@dataclass(frozen=True, slots=True)
class Decomposition:
    """Principles of one instruction, and what it cost to find them."""

    principles: tuple[Principle, ...]
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class Verified:
    """Verdicts on one edit, before aggregation."""

    verdicts: tuple[Verdict, ...]
    usage: Usage
    reasoning: str | None = None
    scores: tuple[float, ...] = ()
    """Scores the judge wrote, one per sample; empty for `probe`."""
    cache: Cached = "miss"


@dataclass(frozen=True, slots=True)
class Call:
    """What all edits of one request have in common."""

    instruction: str
    source: EngineImage
    options: Options
    principles: tuple[Principle, ...] | None
    request_id: str
    identity: str
    deadline: float
    """Event-loop time by which everything has to be done."""
    ticket: Ticket
    """What the request was let in with, and takes its turns at the engine on."""
    work: Work
    """Predicted for its parts."""


@dataclass(frozen=True, slots=True)
class GroupResult:
    """Rewards of a group in order, and what they were judged by."""

    rewards: tuple[Reward, ...]
    principles: tuple[Principle, ...] | None
    usage: Usage
    timing_ms: dict[str, float] = field(default_factory=dict)


class Judge:
    """Judges edits with one engine, one judge card and one prompt set."""

    def __init__(
        self,
        engine: Engine,
        card: JudgeCard,
        prompts: PromptSet,
        *,
        identity: str,
        metrics: Metrics,
        work: WorkModel,
        shared: SharedWork,
        tracer: Tracer | None = None,
    ) -> None:
        self._engine = engine
        self._identity = identity
        self._card = card
        self._prompts = prompts
        self._metrics = metrics
        self._work = work
        self._shared = shared
        self._tracer = tracer or NoTracer()

    async def decompose(
        self, instruction: str, source: EngineImage, deadline: float, ticket: Ticket, work: int
    ) -> Decomposition:
        """Break an instruction into principles. Calls for the same instruction and source share one generation.

        Args:
            instruction: What the edit was meant to do.
            source: The image before the edit.
            deadline: Event-loop time by which it has to be done.
            ticket: What the request was let in with.
            work: Predicted for this.

        Raises:
            UnscoredError: There are no principles to judge by; the outcome says why.
        """
        spent: list[Usage] = []

        async def in_turn() -> DecompositionRecord:
            with self._tracer.span("decompose"):
                async with ticket.turn(work):
                    principles, usage = await self._decompose(instruction, source)
            spent.append(usage)
            return DecompositionRecord(principles=principles)

        key = decomposition_key(self._identity, instruction, source.digest)
        finding = self._shared.run("decomposition", key, DecompositionRecord, in_turn)
        record, _ = await _before(deadline, finding)
        return Decomposition(record.principles, sum(spent, Usage()))

    async def verify(self, call: Call, edited: EngineImage, *, first: bool = True) -> Verified:
        """Check the call's principles on one edit, in its turn; the `first` of a group brings the prefix along.

        Raises:
            UnscoredError: The judge's answer is not a judgement; the outcome says why.
        """
        assert call.principles is not None, "verify needs principles"
        work = call.work.first if first else call.work.more
        return await _before(call.deadline, self._recall(call, call.principles, edited, work))

    async def rewards(self, call: Call, edits: Sequence[EngineImage | ErrorDetail]) -> GroupResult:
        """Judge a group of edits of one source.

        Args:
            call: The request.
            edits: Images, or why there is none; an error becomes that item's `bad_image` outcome.
        """
        tasks: list[asyncio.Task[Reward]] = []
        caller = call.ticket.caller.name
        try:
            group = await self._group(call, edits, tasks)
        except asyncio.CancelledError:
            self._metrics.outcome(caller, Outcome.CANCELLED, len(edits) - sum(_ended(task) for task in tasks))
            raise
        finally:
            for task in tasks:
                task.cancel()
        self._metrics.callers.group(caller, [reward.score for reward in group.rewards])
        return group

    async def _group(
        self, call: Call, edits: Sequence[EngineImage | ErrorDetail], tasks: list[asyncio.Task[Reward]]
    ) -> GroupResult:
        """Judge a group with one task an edit, put into `tasks` as they start."""
        started = time.perf_counter()
        usage = Usage()
        timing: dict[str, float] = {}
        if call.principles is None and any(isinstance(edit, EngineImage) for edit in edits):
            try:
                decomposition = await self.decompose(
                    call.instruction, call.source, call.deadline, call.ticket, max(1, call.work.decompose)
                )
            except UnscoredError as error:
                error = UnscoredError(
                    error.outcome,
                    f"decomposing the instruction: {error.message}",
                    code=error.code,
                    retryable=error.retryable,
                )
                failed = [
                    self._bad(call, edit) if isinstance(edit, ErrorDetail) else self._unscored(call, error)
                    for edit in edits
                ]
                return GroupResult(tuple(failed), None, usage, timing)
            call = replace(call, principles=decomposition.principles)
            usage = decomposition.usage
            timing["decompose"] = (time.perf_counter() - started) * 1e3
        # Tasks start in order, so the engine sees the group in order: all work on one edit, then on the next.
        tasks += [asyncio.ensure_future(self._reward(call, edit, index == 0)) for index, edit in enumerate(edits)]
        rewards = await asyncio.gather(*tasks)
        for reward in rewards:
            usage = usage + reward.usage
        timing["total"] = (time.perf_counter() - started) * 1e3
        return GroupResult(tuple(rewards), call.principles, usage, timing)

    async def _reward(self, call: Call, edit: EngineImage | ErrorDetail, first: bool) -> Reward:
        if isinstance(edit, ErrorDetail):
            return self._bad(call, edit)
        assert call.principles is not None
        started = time.perf_counter()
        try:
            verified = await self.verify(call, edit, first=first)
        except UnscoredError as error:
            return self._unscored(call, error)
        options = call.options
        written = statistics.fmean(verified.scores) if verified.scores else None
        score = aggregate(verified.verdicts, options.aggregation, model_score=written)
        spread = statistics.stdev(verified.scores) if len(verified.scores) > 1 else None
        self._metrics.scored(call.ticket.caller.name, options.mode, score, verified.verdicts)
        return Reward(
            outcome=Outcome.SCORED,
            score=score,
            reward=reward_of(score),
            average=average(verified.verdicts),
            aggregation=options.aggregation,
            mode=options.mode,
            verdicts=verified.verdicts,
            reasoning=verified.reasoning,
            samples=max(1, len(verified.scores)),
            score_std=spread,
            request_id=call.request_id,
            identity=call.identity,
            cache=verified.cache,
            usage=verified.usage,
            timing_ms={"verify": (time.perf_counter() - started) * 1e3},
        )

    async def _recall(self, call: Call, principles: tuple[Principle, ...], edited: EngineImage, work: int) -> Verified:
        """Verify, unless the same has been or is being verified."""
        options = call.options
        if not (options.remember and options.repeatable):
            return replace(await self._verify(call, principles, edited, work), cache="bypass")
        spent: list[Usage] = []

        async def verify() -> VerificationRecord:
            verified = await self._verify(call, principles, edited, work)
            spent.append(verified.usage)
            return VerificationRecord(verdicts=verified.verdicts, reasoning=verified.reasoning, scores=verified.scores)

        key = verification_key(
            self._identity,
            call.instruction,
            principles,
            call.source.digest,
            edited.digest,
            mode=options.mode,
            samples=options.samples,
            temperature=options.temperature,
            top_p=options.top_p,
            seed=options.seed,
        )
        record, how = await self._shared.run("verification", key, VerificationRecord, verify)
        return Verified(record.verdicts, sum(spent, Usage()), record.reasoning, record.scores, how)

    async def _decompose(self, instruction: str, source: EngineImage) -> tuple[tuple[Principle, ...], Usage]:
        started = time.perf_counter()
        prompt = _bind(self._prompts.decompose(instruction), source, None)
        sampling = Sampling(self._card.sampling.decompose_max_tokens, 0.0)
        with self._at_engine(prompts=1):
            completion = _completed((await self._engine.generate([prompt], sampling))[0])
        principles = parse_principles(completion.text, truncated=completion.finish_reason == "length")
        if isinstance(principles, Failure):
            self._metrics.unread("decompose", principles.kind)
            raise UnscoredError(principles.outcome, principles.message, code=principles.outcome.value)
        seconds = time.perf_counter() - started
        self._metrics.stage("decompose", seconds)
        self._work.answered("decompose", completion.completion_tokens)
        return principles, _usage(completion)

    async def _verify(self, call: Call, principles: tuple[Principle, ...], edited: EngineImage, work: int) -> Verified:
        probe = call.options.mode is Mode.PROBE
        noted: dict[str, Attribute] = {"mode": call.options.mode.value, "principles": len(principles)}
        with self._tracer.span("verify", noted):
            async with call.ticket.turn(work, len(principles) if probe else call.options.samples):
                started = time.perf_counter()
                verified = await (self._probe if probe else self._think)(call, principles, edited)
                self._metrics.stage(call.options.mode.value, time.perf_counter() - started)
        return verified

    async def _think(self, call: Call, principles: tuple[Principle, ...], edited: EngineImage) -> Verified:
        options = call.options
        prompt = _bind(self._prompts.think(call.instruction, principles), call.source, edited)
        limit = self._card.sampling.think_max_tokens
        with self._at_engine(prompts=options.samples):
            replies = await asyncio.gather(
                *(
                    self._engine.generate([prompt], Sampling(limit, options.temperature, options.top_p, seed))
                    for seed in _seeds(options)
                )
            )
        completions = [_completed(reply[0]) for reply in replies]
        judgements = [self._read(completion, principles) for completion in completions]
        for completion in completions:
            self._work.answered(Mode.THINK.value, completion.completion_tokens)
        usage = sum((_usage(completion) for completion in completions), Usage())
        first = judgements[0]
        share = [
            statistics.fmean(judgement.passed[index] for judgement in judgements) for index in range(len(principles))
        ]
        verdicts = tuple(
            Verdict(
                principle=principle,
                passed=share[index] >= 0.5,
                probability=share[index] if len(judgements) > 1 else None,
                rationale=first.rationales[index],
            )
            for index, principle in enumerate(principles)
        )
        return Verified(verdicts, usage, first.reasoning, tuple(judgement.score for judgement in judgements))

    async def _probe(self, call: Call, principles: tuple[Principle, ...], edited: EngineImage) -> Verified:
        labels = (*self._card.labels.yes, *self._card.labels.no)
        prompts = [
            _bind(self._prompts.probe(call.instruction, principles, index), call.source, edited)
            for index in range(len(principles))
        ]
        with self._at_engine(prompts=len(prompts)):
            readings = await self._engine.probe(prompts, labels)
        card = self._card
        # All of them first: the edit is given up at the first probe that cannot be read.
        for reading in readings:
            if not isinstance(reading, EngineError):
                mass = label_mass(reading.logprobs, card.labels)
                self._metrics.probe(mass, below_floor(mass, card.label_mass_floor))
        verdicts: list[Verdict] = []
        usage = Usage()
        for principle, reading in zip(principles, readings, strict=True):
            if isinstance(reading, EngineError):
                raise UnscoredError(Outcome.ENGINE_ERROR, str(reading), retryable=reading.retryable)
            usage = usage + _usage(reading)
            verdicts.append(verdict_from_logprobs(principle, reading.logprobs, card.labels, card.label_mass_floor))
        return Verified(tuple(verdicts), usage)

    @contextmanager
    def _at_engine(self, prompts: int) -> Iterator[None]:
        """A span for the engine's part, which is handed on to engines elsewhere."""
        with self._tracer.span("engine", {"prompts": prompts, "engine": self._engine.facts.engine}):
            token = outgoing.set(self._tracer.headers())
            try:
                yield
            finally:
                outgoing.reset(token)

    def _read(self, completion: Completion, principles: Sequence[Principle]) -> Judgement:
        judgement = parse_judgement(completion.text, principles, truncated=completion.finish_reason == "length")
        if isinstance(judgement, Failure):
            self._metrics.unread("think", judgement.kind)
            raise UnscoredError(judgement.outcome, judgement.message)
        return judgement

    def _unscored(self, call: Call, error: UnscoredError) -> Reward:
        self._metrics.outcome(call.ticket.caller.name, error.outcome)
        return Reward(
            outcome=error.outcome,
            mode=call.options.mode,
            request_id=call.request_id,
            identity=call.identity,
            error=error.detail(call.request_id),
        )

    def _bad(self, call: Call, error: ErrorDetail) -> Reward:
        self._metrics.outcome(call.ticket.caller.name, Outcome.BAD_IMAGE)
        return Reward(
            outcome=Outcome.BAD_IMAGE,
            mode=call.options.mode,
            request_id=call.request_id,
            identity=call.identity,
            error=error,
        )


def _seeds(options: Options) -> list[int | None]:
    """One seed per sample: consecutive from the request's, so that repeating a request repeats its samples."""
    if options.seed is None:
        return [None] * options.samples
    return [options.seed + index for index in range(options.samples)]


def _ended(task: asyncio.Task[Reward]) -> bool:
    """Whether an edit got to its outcome before its request was cancelled."""
    return task.done() and not task.cancelled() and task.exception() is None


def _bind(rendered: RenderedPrompt, source: EngineImage, edited: EngineImage | None) -> Prompt:
    parts: list[str | EngineImage] = []
    for part in rendered.parts:
        if isinstance(part, ImagePart):
            image = source if part.role == "source" else edited
            assert image is not None, "the prompt shows an edited image where there is none"
            parts.append(image)
        else:
            parts.append(part.text)
    return Prompt(rendered.system, tuple(parts))


def _completed(reply: Completion | EngineError) -> Completion:
    if isinstance(reply, EngineError):
        raise UnscoredError(Outcome.ENGINE_ERROR, str(reply), retryable=reply.retryable)
    if reply.finish_reason == "refused":
        raise UnscoredError(Outcome.REFUSED, "the judge's server refused to judge this edit")
    return reply


def _usage(reply: Completion | LabelReading) -> Usage:
    written = reply.completion_tokens if isinstance(reply, Completion) else 0
    return Usage(
        prompt_tokens=reply.prompt_tokens,
        cached_tokens=reply.cached_tokens,
        completion_tokens=written,
        engine_calls=1,
    )


async def _before(deadline: float, work: Coroutine[Any, Any, T]) -> T:
    """Await work until a point in event-loop time; running over it cancels the work.

    Raises:
        UnscoredError: `timed_out`.
    """
    try:
        async with asyncio.timeout_at(deadline):
            return await work
    except TimeoutError:
        raise UnscoredError(
            Outcome.TIMED_OUT, "the deadline passed before the judge was done; allow more time"
        ) from None
