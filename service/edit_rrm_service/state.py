"""What the running service holds: the engine while it loads, and the judge once it is there."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from edit_rrm.card import CardError, JudgeCard
from edit_rrm.prompts import PromptSet
from edit_rrm.verdicts import Mode
from edit_rrm.wire import Identity
from edit_rrm_service.admission import Admission
from edit_rrm_service.engines.base import Engine, EngineDeadError, EngineStartError
from edit_rrm_service.idempotency import Idempotency
from edit_rrm_service.identity import judge_identity
from edit_rrm_service.judge import Judge
from edit_rrm_service.lifecycle import Lifecycle
from edit_rrm_service.memory_cache import MemoryCache
from edit_rrm_service.metrics import Metrics
from edit_rrm_service.redis_store import RedisStore
from edit_rrm_service.sentinel import Sentinel, SentinelError, load_sentinels
from edit_rrm_service.settings import Settings
from edit_rrm_service.shared_work import SharedWork
from edit_rrm_service.tracing import Tracer
from edit_rrm_service.watch import Watch
from edit_rrm_service.work import WorkModel

_logger = logging.getLogger(__name__)

_ANSWERS_KEPT_S = 86_400.0
"""In Redis, for a client that tries again: a day, as others do."""
_MOST_DECODERS = 16
"""Threads that decode images, where there are as many cores; each keeps some megabytes (`malloc.py`)."""


@dataclass(frozen=True, slots=True)
class LoadedJudge:
    """A judge's parts before its engine has started."""

    engine: Engine
    card: JudgeCard
    prompts: PromptSet


Loader = Callable[[Settings], LoadedJudge]
"""Finds the judge and makes its engine; blocking, raises `EngineStartError` or `CardError`."""


class ServiceState:
    """Loads the judge in the background and hands it to the routes."""

    def __init__(self, settings: Settings, loader: Loader, tracer: Tracer) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.metrics.configured(sentinels=settings.sentinels != "off", redis=settings.redis_url is not None)
        self.admission = Admission(
            max_running=settings.max_running or 1,
            max_queued_work=settings.max_queued_work,
            max_wait_s=settings.max_wait_ms / 1e3,
            observer=self.metrics,
        )
        self.work: WorkModel | None = None
        lease_s = settings.lease_ms / 1e3
        self.tracer = tracer
        self.store = (
            None if settings.redis_url is None else RedisStore(settings.redis_url, self.metrics, lease_s=lease_s)
        )
        self.idempotency = Idempotency(
            SharedWork(
                MemoryCache(settings.idempotency_bytes),
                self.metrics,
                self.store,
                keep_s=_ANSWERS_KEPT_S,
                renew_every_s=lease_s / 3,
            )
        )
        self._shared = SharedWork(
            MemoryCache(settings.cache_bytes),
            self.metrics,
            self.store,
            keep_s=settings.cache_ttl_s,
            renew_every_s=lease_s / 3,
        )
        # Decoders let go of the interpreter and wait for nothing: more threads than cores would only take memory.
        threads = min(_MOST_DECODERS, os.cpu_count() or 1)
        self.decoding = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self.lifecycle = Lifecycle(self.metrics.phase)
        self.metrics.under_way.set_function(lambda: self.lifecycle.under_way)
        self.card: JudgeCard | None = None
        self._loader = loader
        self._engine: Engine | None = None
        self._judge: Judge | None = None
        self._watch: Watch | None = None
        self._identity: Identity | None = None

    @property
    def judge(self) -> Judge:
        """The judge, for a request that was let in.

        Raises:
            ApiError: 503 while there is none that may be used.
        """
        self.lifecycle.require_judge()
        assert self._judge is not None, "a service that let a request in has a judge"
        return self._judge

    @property
    def judge_card(self) -> JudgeCard:
        """The judge's card, once it is loaded."""
        assert self.card is not None, "a judge that is ready has a card"
        return self.card

    @property
    def identity(self) -> Identity:
        """What is judging.

        Raises:
            ApiError: 503 while nobody is.
        """
        if self._identity is None:
            self.lifecycle.require_ready()
        assert self._identity is not None, "a service that is ready has an identity"
        return self._identity

    @property
    def supports_probe(self) -> bool:
        """Whether the engine can read label log-probabilities."""
        return self._engine is not None and self._engine.facts.supports_probe

    async def load(self) -> None:
        """Load the judge; why that failed is the lifecycle's reason, one line for whoever started the service."""
        try:
            loaded = await asyncio.to_thread(self._loader, self.settings)
            self._engine = loaded.engine
            await loaded.engine.start((*loaded.card.labels.yes, *loaded.card.labels.no))
            work = WorkModel(loaded.card)
            watch = await self._watch_over(loaded, work)
            self._use(loaded, work)
            self._watch = watch
            await watch.start()
        except (EngineStartError, CardError, SentinelError) as error:
            self.lifecycle.failed(str(error))
            return
        except Exception as error:
            _logger.exception("the judge could not be loaded")
            self.lifecycle.failed(f"{type(error).__name__}: {error}")
            return
        _logger.info("%s on %s, identity %s", loaded.card.name, loaded.engine.facts.engine, self.identity.identity[:12])

    def _use(self, loaded: LoadedJudge, work: WorkModel) -> None:
        """Judge with what has been loaded, as soon as the lifecycle says so."""
        self.card = loaded.card
        self.work = work
        self.admission.max_running = self.settings.max_running or loaded.engine.facts.concurrency
        self._identity = judge_identity(loaded.card, loaded.prompts, loaded.engine.facts)
        self._judge = Judge(
            loaded.engine,
            loaded.card,
            loaded.prompts,
            identity=self._identity.identity,
            metrics=self.metrics,
            work=work,
            shared=self._shared,
            tracer=self.tracer,
        )
        self.metrics.watch_backends(loaded.engine.backends)
        self.metrics.info.labels(self._identity.identity, loaded.engine.facts.engine, loaded.card.name).set(1)

    async def _watch_over(self, loaded: LoadedJudge, work: WorkModel) -> Watch:
        """Watch over the judge, with sentinels as the settings have it."""
        settings = self.settings
        sentinels: tuple[Sentinel, ...] = ()
        if settings.sentinels != "off":
            sentinels = await asyncio.to_thread(load_sentinels, settings.sentinels_folder, loaded.card.image)
        quiet = Metrics()
        judge = Judge(
            loaded.engine,
            loaded.card,
            loaded.prompts,
            identity="",
            metrics=quiet,
            work=work,
            shared=SharedWork(MemoryCache(0), quiet),
        )
        return Watch(
            loaded.engine,
            judge,
            loaded.card,
            self.lifecycle,
            self.admission,
            work,
            self.metrics,
            sentinels=sentinels,
            modes=tuple(Mode) if loaded.engine.facts.supports_probe else (Mode.THINK,),
            enforce=settings.sentinels == "enforce",
            engine_every_s=settings.engine_check_ms / 1e3,
            sentinels_every_s=settings.sentinels_every_s,
        )

    async def close(self) -> None:
        """Stop taking work and free the engine."""
        self.lifecycle.stop()
        if self._watch is not None:
            self._watch.stop()
        if self._engine is not None:
            try:
                await self._engine.close()
            except EngineDeadError:
                _logger.warning("the engine was dead already")
        if self.store is not None:
            await self.store.close()
        await asyncio.to_thread(self.tracer.close)
        self.decoding.shutdown(wait=False, cancel_futures=True)
