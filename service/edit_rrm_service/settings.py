"""Settings: `EDIT_RRM_*` environment variables, with the same names as the flags of `edit-rrm serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from edit_rrm_service.callers import CallerLimits
from edit_rrm_service.engines.options import DType, EngineName, EngineOptions
from edit_rrm_service.images import ImageLimits
from edit_rrm_service.sentinel import SHIPPED_SENTINELS

SHIPPED_JUDGE = Path(__file__).parent / "judges" / "nano"
"""The judge that comes with the package."""

Listed = Annotated[tuple[str, ...], NoDecode]
"""Comma-separated in an environment variable."""


class Settings(BaseSettings):
    """How to serve. Flags win over environment variables, and those over the defaults."""

    model_config = SettingsConfigDict(env_prefix="EDIT_RRM_", extra="ignore", frozen=True)

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for every interface."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; 0 picks a free one."""
    probe_port: int | None = Field(default=None, ge=0, le=65535)
    """Port for /livez, /readyz, /startupz and /metrics alone, besides the other, which has them too."""

    model: str = str(SHIPPED_JUDGE)
    """Checkpoint folder or hub name; the shipped judge by default."""
    engine: EngineName = "auto"
    """`auto` takes vLLM where it imports, else transformers; `openai` needs base URLs."""
    dtype: DType = "auto"
    max_model_len: int | None = Field(default=None, ge=64)
    gpu_memory_utilization: float = Field(default=0.9, gt=0.0, le=1.0)
    kv_cache_gib: float = Field(default=1.0, gt=0.0)
    image_cache_gib: float | None = Field(default=None, gt=0.0)
    """vLLM on a CPU: memory for the KV cache, in GiB."""
    tensor_parallel_size: int = Field(default=1, ge=1)
    device: str = "auto"
    """Engine `transformers`: cpu, cuda or cuda:N."""
    base_urls: Listed = ()
    """Engine `openai`: servers of the same model, comma-separated."""
    upstream_api_key: str | None = Field(default=None, repr=False)
    """Engine `openai`: bearer token for those servers."""

    api_key_hashes: Listed = ()
    """SHA-256 (hex) of every accepted API key, comma-separated (see `edit-rrm hash-key`); empty lets everybody in."""
    api_keys_file: Path | None = None
    """A TOML file of further keys, with names, priorities, shares and limits (see docs/http.md)."""
    key_requests_per_minute: float | None = Field(default=None, gt=0.0)
    """Requests a minute of every caller that has no limit of its own in the keys file."""
    key_max_concurrent: int | None = Field(default=None, ge=1)
    """Requests under way at a time, of the same callers."""
    metrics_need_key: bool = False
    """Whether /metrics asks for a key too."""

    max_body_bytes: int = Field(default=96 * 2**20, ge=1024)
    """As sent. A source and 24 edits of 1024 x 1024, uncompressed, are 79 MB."""
    header_timeout_ms: int = Field(default=30_000, ge=1)
    """Time the headers of a request may take to arrive; the connection is closed after that."""
    body_timeout_ms: int = Field(default=60_000, ge=1)
    """Time the whole of a body may take to arrive."""
    max_image_bytes: int = Field(default=12 * 2**20, ge=1024)
    max_image_pixels: int = Field(default=4096 * 4096, ge=64)
    min_image_side: int = Field(default=8, ge=1)
    max_image_aspect: float = Field(default=20.0, ge=1.0)
    max_edits: int = Field(default=128, ge=1, le=128)
    """Most edits in one request."""
    max_queued_work: int = Field(default=2_000_000, ge=1)
    """Most work that may wait for the engine, in predicted tokens; more is refused with 429."""
    max_wait_ms: int = Field(default=300_000, ge=1)
    """Longest estimated wait for the engine; requests that would wait longer are refused with 429."""
    max_running: int | None = Field(default=None, ge=1)
    """Prompts handed to the engine at a time; what its own batch holds, and some to follow, where left out."""
    default_deadline_ms: int = Field(default=600_000, ge=1)
    """Time a request may take where it sends no X-Deadline-Ms."""

    cache_bytes: int = Field(default=256 * 2**20, ge=0)
    """Memory for what was measured before, in this process; 0 remembers nothing here."""
    idempotency_bytes: int = Field(default=64 * 2**20, ge=0)
    """Memory for answers that are replayed to a repeated Idempotency-Key."""
    redis_url: str | None = Field(default=None, repr=False)
    """A Redis that replicas share what they measured through, such as redis://:password@host:6379/0."""
    cache_ttl_s: float = Field(default=7 * 86_400.0, gt=0.0)
    """How long Redis keeps what was measured."""
    lease_ms: int = Field(default=10_000, ge=300)
    """How long a replica that died keeps others from doing its work, at most."""

    drain_delay_ms: int = Field(default=3_000, ge=0)
    """After SIGTERM: how long to go on taking requests while unready, until load balancers have noticed."""
    drain_timeout_ms: int = Field(default=120_000, ge=0)
    """After that: how long requests under way may take to finish."""
    sentinels: Literal["enforce", "warn", "off"] = "enforce"
    """What it does when the judge scores known edits in the wrong order: become unready, or log and count it."""
    sentinels_folder: Path = SHIPPED_SENTINELS
    """A folder with a sentinels.toml and its images (see docs/http.md)."""
    sentinels_every_s: float = Field(default=600.0, gt=0.0)
    """How often they are judged, after the first time before the service is ready."""
    engine_check_ms: int = Field(default=2_000, ge=10)
    """How often to look whether the engine is alive."""

    ui: bool = False
    """Whether /ui is a page where people look at judgements; it wants the extra `ui`."""
    ui_runs: Path | None = None
    """A folder whose training runs and evaluations the page shows to whoever may see the page."""
    ui_judges: Listed = ()
    """Other services that the page compares this one with, by their URLs, comma-separated."""

    otlp_endpoint: str | None = None
    """Where to send traces (OTLP over HTTP), such as http://collector:4318/v1/traces; none are made without."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"

    @field_validator("base_urls", "api_key_hashes", "ui_judges", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(item.strip() for item in value.split(",") if item.strip()) if isinstance(value, str) else value

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("a Redis URL starts with redis://, rediss:// (TLS) or unix://")
        return value

    @field_validator("ui_judges")
    @classmethod
    def _are_urls(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for url in value:
            if not url.startswith(("http://", "https://")):
                raise ValueError(f"{url!r} is no address of a service, such as http://other-judge:8000")
        return value

    @field_validator("api_key_hashes")
    @classmethod
    def _are_digests(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for digest in value:
            if len(digest) != 64 or not all(char in "0123456789abcdef" for char in digest):
                raise ValueError("API keys are given as SHA-256 in lower-case hex; make one with: edit-rrm hash-key")
        return value

    @property
    def caller_limits(self) -> CallerLimits:
        """Limits of callers that have none of their own."""
        return CallerLimits(self.key_requests_per_minute, self.key_max_concurrent)

    @property
    def image_limits(self) -> ImageLimits:
        """What an uploaded image may be."""
        return ImageLimits(self.max_image_bytes, self.max_image_pixels, self.min_image_side, self.max_image_aspect)

    @property
    def engine_options(self) -> EngineOptions:
        """The engine's share of the settings."""
        return EngineOptions(
            dtype=self.dtype,
            max_model_len=self.max_model_len,
            gpu_memory_utilization=self.gpu_memory_utilization,
            kv_cache_gib=self.kv_cache_gib,
            image_cache_gib=self.image_cache_gib,
            tensor_parallel_size=self.tensor_parallel_size,
            device=self.device,
            base_urls=self.base_urls,
            api_key=self.upstream_api_key,
        )
