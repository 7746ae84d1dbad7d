"""The four steps, one pass over the input each, after a pass that chooses the rows.

Every step reads the rows again, skips what its journal has, and appends what teachers answered in the input's order. A
row whose teacher gave no answer at all is not recorded, so that the next run asks again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict
from typing import Any

from edit_rrm.grammar import Failure, parse_judgement, parse_principles
from edit_rrm.principles import Principle
from edit_rrm_training.judge.cold_start.choosing import choose
from edit_rrm_training.judge.cold_start.compact import compact
from edit_rrm_training.judge.cold_start.config import ColdStartConfig
from edit_rrm_training.judge.cold_start.errors import AnswerError, ColdStartError, UnavailableError
from edit_rrm_training.judge.cold_start.exemplars import Exemplar, draw
from edit_rrm_training.judge.cold_start.flow import Patience, in_order, seed_for
from edit_rrm_training.judge.cold_start.folder import Steps
from edit_rrm_training.judge.cold_start.gold import GoldFailure, parse_gold
from edit_rrm_training.judge.cold_start.mixing import Pool, Quota
from edit_rrm_training.judge.cold_start.rows import BadRow, EditRow, RowSource
from edit_rrm_training.judge.cold_start.selector import Candidate, agreement, first, select
from edit_rrm_training.judge.cold_start.teachers.base import Source, Thinker
from edit_rrm_training.judge.cold_start.teachers.hiring import Staff

Record = dict[str, Any]
Progress = Callable[[str, int, int | None], None]
"""Told the step's name, rows done and rows in all, where known."""

STEPS = ("choosing rows", "1 principles", "2 candidates", "3 gold verdicts", "4 selection")


class Pipeline:
    """One run over one input."""

    def __init__(
        self,
        config: ColdStartConfig,
        rows: RowSource,
        pool: tuple[Exemplar, ...],
        staff: Staff,
        steps: Steps,
        *,
        count: int | None,
        verified: bool,
        progress: Progress = lambda step, done, total: None,
    ) -> None:
        """Put a run together; `count` rows are taken, all where None."""
        self._config, self._rows, self._pool, self._staff, self._steps = config, rows, pool, staff, steps
        self._count, self._verified, self._progress = count, verified, progress
        self._window = 2 * max(getattr(teacher, "concurrency", 1) for teacher in config.teachers.values())

    async def run(self) -> None:
        """Do what is left to do.

        Raises:
            ColdStartError: A teacher does not answer or cannot, the input cannot be read, or the disk is full.
        """
        await choose(
            self._rows,
            self._steps.mix,
            Quota(self._count, self._config.mix.hard, self._config.seed),
            self._staff.classifier,
            seed=self._config.seed,
            window=self._window,
            progress=lambda done: self._progress(STEPS[0], done, self._count or self._rows.total),
        )
        await self._principles()
        await self._candidates()
        if self._verified:
            await self._gold()
        self._select()

    def chosen(self, wanted: Callable[[Record], bool]) -> Iterator[tuple[EditRow, Record]]:
        """The rows taken whose record of the mix is wanted, in the input's order.

        Raises:
            ColdStartError: The input is not what it was when its rows were chosen.
        """
        # The mix has one record per input row, in their order.
        for key, load in zip(list(self._steps.mix), self._rows, strict=False):
            record = self._steps.mix.get(key)
            assert record is not None
            if record["pool"] == Pool.LEFT_OUT or not wanted(record):
                continue
            row = load()
            if isinstance(row, BadRow) or row.id != key:
                raise ColdStartError(f"{self._rows.name} has changed since this run was started, at {record['origin']}")
            yield row, record

    def principles_of(self, task: str) -> tuple[Principle, ...] | None:
        """What step 1 wrote for a task; None where it failed, or has not come to it."""
        record = self._steps.principles.get(task)
        if record is None or "failure" in record:
            return None
        return tuple(Principle.model_validate(item) for item in record["principles"])

    def candidates_of(self, record: Record) -> list[Candidate]:
        """The candidates that parsed, by a record of the mix; none where step 2 has not come to it."""
        found, principles = self._steps.candidates.get(record["id"]), self.principles_of(record["task"])
        return [] if found is None or principles is None else parsed(found, principles)

    async def _principles(self) -> None:
        journal, started = self._steps.principles, set[str]()

        def wanted(record: Record) -> bool:
            task = record["task"]
            if task in journal or task in started:
                return False
            started.add(task)
            return True

        async def work(row: EditRow) -> Record:
            writer, seed = self._staff.writer, self._seed(row.task, "principles")
            count = self._config.principles.exemplars_per_query if writer.takes_exemplars else 0
            exemplars = draw(self._pool, count, self._config.seed, row.task)
            try:
                text = await writer.write(row, exemplars, seed)
            except AnswerError as error:
                return {"id": row.task, **_failed(error.reason, str(error))}
            found = parse_principles(text)
            if isinstance(found, Failure):
                return {"id": row.task, **_failed(found.kind, found.message, text)}
            return {
                "id": row.task,
                **_told(writer.source, seed),
                "exemplars": [item.id for item in exemplars],
                "principles": [item.model_dump(mode="json") for item in found],
            }

        await self._step(1, wanted, work, len({record["task"] for record in self._taken()}))

    async def _candidates(self) -> None:
        def wanted(record: Record) -> bool:
            return record["id"] not in self._steps.candidates and self.principles_of(record["task"]) is not None

        async def one(row: EditRow, principles: tuple[Principle, ...], index: int, thinker: Thinker) -> Record:
            seed = self._seed(row.id, "candidate", index)
            try:
                text = await thinker.think(row, principles, seed)
            except AnswerError as error:
                return _told(thinker.source, seed) | _failed(error.reason, str(error))
            found = parse_judgement(text, principles)
            told = _told(thinker.source, seed)
            if isinstance(found, Failure):
                return told | _failed(found.kind, found.message, text)
            if compact(found, principles) is None:
                return told | _failed("not_compact", "it means something else in the compact form", text)
            return told | {"text": text}

        async def work(row: EditRow) -> Record:
            principles = self.principles_of(row.task)
            assert principles is not None
            # Shuffled for every row: candidates of lower index win ties, and without a verifier the first one wins
            # outright. In the configuration's order that would always be the same teacher.
            pool = list(enumerate(self._staff.thinkers))
            random.Random(f"{self._config.seed}/{row.id}/order").shuffle(pool)  # noqa: S311 - to be repeated
            asked = [one(row, principles, index, thinker) for index, thinker in pool]
            answers = await asyncio.gather(*asked, return_exceptions=True)
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer
            return {"id": row.id, "candidates": list(answers)}

        await self._step(2, wanted, work, self._rows_taken())

    async def _gold(self) -> None:
        verifier = self._staff.verifier
        assert verifier is not None

        def wanted(record: Record) -> bool:
            return record["id"] not in self._steps.gold and bool(self.candidates_of(record))

        async def work(row: EditRow) -> Record:
            principles, seed = self.principles_of(row.task), self._seed(row.id, "gold")
            record = self._steps.candidates.get(row.id)
            assert principles is not None
            assert record is not None
            hints = [item["text"] for item in record["candidates"] if "failure" not in item]
            try:
                text = await verifier.verify(row, principles, hints, seed)
            except AnswerError as error:
                return {"id": row.id, **_failed(error.reason, str(error))}
            found = parse_gold(text, principles)
            if isinstance(found, GoldFailure):
                return {"id": row.id, **_failed(found.kind, found.message, text)}
            gold = [int(verdict) for verdict in found.passed]
            return {"id": row.id, **_told(verifier.source, seed), "gold": gold, "reasons": list(found.reasons)}

        await self._step(3, wanted, work, self._rows_taken())

    def _select(self) -> None:
        journal, total = self._steps.selected, self._rows_taken()
        for mixed in self._taken():
            key = mixed["id"]
            record = self._steps.candidates.get(key)
            gold = self._steps.gold.get(key) if self._verified else None
            candidates = self.candidates_of(mixed)
            # Without gold the row waits for the next run, unless no candidate parsed: then nobody asks for gold.
            if key not in journal and record is not None and not (self._verified and candidates and gold is None):
                journal.append(selection(mixed, record, candidates, gold, verified=self._verified))
            self._progress(STEPS[4], len(journal), total)
        journal.sync()

    async def _step(
        self, number: int, wanted: Callable[[Record], bool], work: Callable[[EditRow], Awaitable[Record]], total: int
    ) -> None:
        journal = (self._steps.principles, self._steps.candidates, self._steps.gold)[number - 1]
        patience = Patience()
        self._progress(STEPS[number], len(journal), total)
        rows = (row for row, _ in self.chosen(wanted))
        stream = in_order(rows, work, self._window)
        try:
            async for _, record in stream:
                if isinstance(record, UnavailableError):
                    patience.missed(record)
                else:
                    patience.answered()
                    journal.append(record)
                self._progress(STEPS[number], len(journal), total)
        finally:
            await stream.aclose()
        patience.conclude()
        journal.sync()

    def _taken(self) -> Iterator[Record]:
        return (record for record in self._steps.mix.records() if record["pool"] != Pool.LEFT_OUT)

    def _rows_taken(self) -> int:
        return sum(1 for _ in self._taken())

    def _seed(self, *pieces: str | int) -> int:
        return seed_for(self._config.seed, *pieces)


def parsed(record: Record, principles: tuple[Principle, ...]) -> list[Candidate]:
    """The candidates of a record of step 2 that parse."""
    found = []
    for index, item in enumerate(record["candidates"]):
        if "failure" not in item:
            judgement = parse_judgement(item["text"], principles)
            assert not isinstance(judgement, Failure), "what step 2 recorded without a failure parsed then"
            found.append(Candidate(index, judgement.passed, judgement.score))
    return found


def selection(
    mixed: Record, record: Record, candidates: list[Candidate], gold: Record | None, *, verified: bool
) -> Record:
    """Step 4 for one row: the candidate kept, or why none is."""
    counts = {"parsed": len(candidates), "candidates": len(record["candidates"])}
    told = {"id": mixed["id"], "task": mixed["task"], "origin": mixed["origin"], "pool": mixed["pool"], **counts}
    if not candidates:
        return told | _failed("no_candidate", "no candidate could be read")
    if not verified:
        kept = first(candidates)
        assert kept is not None
        return told | {"candidate": kept.index}
    assert gold is not None
    if "failure" in gold:
        return told | _failed("no_gold", f"the verifier's answer could not be used: {gold['failure']}")
    truth = [verdict == 1 for verdict in gold["gold"]]
    kept = select(candidates, truth)
    assert kept is not None
    return told | {"candidate": kept.index, "agreement": agreement(kept.passed, truth) / len(truth)}


def _told(source: Source, seed: int) -> Record:
    return {**asdict(source), "seed": seed}


def _failed(reason: str, message: str, text: str | None = None) -> Record:
    return {"failure": str(reason), "message": message, **({} if text is None else {"text": text})}
