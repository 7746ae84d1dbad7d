"""What a cold start does: a YAML file, checked to the last field."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edit_rrm.principles import Category
from edit_rrm.prompts import prompt_set_names
from edit_rrm_training.judge.cold_start.errors import ColdStartError
from edit_rrm_training.judge.cold_start.templates import VARIANTS

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Temperature = Annotated[float, Field(ge=0.0, le=2.0)]
Seconds = Annotated[float, Field(gt=0.0, le=3_600.0)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class OpenAiTeacher(_Strict):
    """A model behind OpenAI's chat API, hosted or `vllm serve`."""

    kind: Literal["openai"]
    base_url: str = Field(pattern=r"^https?://[^\s/]")
    """Up to and with `/v1`."""
    model: str = Field(min_length=1)
    api_key_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Name of the environment variable that holds the key; null sends none."""
    max_tokens: int = Field(default=4_096, ge=1)
    limit_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    """How the host calls its limit; older ones know `max_tokens` only."""
    seeds: bool = True
    """Whether to send `seed`; some hosts refuse it."""
    concurrency: int = Field(default=8, ge=1, le=1_024)
    retries: int = Field(default=5, ge=0, le=100)
    """Further attempts where a request found the host down or busy, with exponential, jittered pauses."""
    budget_s: Seconds = 300.0
    """Seconds one question may take, retries and all."""


class ServiceTeacher(_Strict):
    """A running Edit-RRM service."""

    kind: Literal["service"]
    url: str = Field(pattern=r"^https?://[^\s/]")
    api_key_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    concurrency: int = Field(default=8, ge=1, le=128)
    retries: int = Field(default=5, ge=0, le=100)
    budget_s: Seconds = 300.0


class Noise(_Strict):
    """How a reader of the shapes world errs. All of it is drawn anew for every row and reading."""

    flip: dict[Category, Share]
    """Chance that a verdict is turned around, by the principle's category; all three have to be there."""
    miss_magnitude: Share
    """Chance to take what was half done, or done at a small displacement, for done."""
    score_bias: float = Field(ge=-10.0, le=10.0)
    """Added to every score."""
    score_spread: float = Field(ge=0.0, le=10.0)
    """Standard deviation of what is added besides."""
    babble: Share = 0.0
    """Chance of an answer in no known form."""
    refuse: Share = 0.0
    """Chance of no answer at all."""
    swayed: Share = 0.0
    """As verifier: chance, per principle, to say what most candidates say instead of what it read."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if missing := [category.value for category in Category if category not in self.flip]:
            raise ValueError(f"flip needs a rate for every category; missing: {', '.join(missing)}")
        return self


class ShapesTeacher(_Strict):
    """The oracle of the shapes world, made to err. Knows rows of `shapes:SPLIT` only."""

    kind: Literal["shapes-oracle"]
    noise: Noise


Teacher = Annotated[OpenAiTeacher | ServiceTeacher | ShapesTeacher, Field(discriminator="kind")]


class PrincipleStep(_Strict):
    """Who writes principles, and from which exemplars."""

    teacher: str
    temperature: Temperature | None = None
    """For `openai` teachers, which need one."""
    exemplars: str | None = None
    """A JSONL pool of one's own; null takes the one that ships."""
    exemplars_per_query: int = Field(default=4, ge=0, le=32)


class CandidateStep(_Strict):
    """One way to think and score; the pool is a list of these."""

    teacher: str
    variant: str | None = None
    """A way of being prompted, for `openai` teachers, which need one."""
    temperature: Temperature | None = None
    """For `openai` teachers, which need one."""
    samples: int = Field(default=1, ge=1, le=32)
    """Candidates per row."""


class VerifierStep(_Strict):
    """Who gives gold verdicts."""

    teacher: str
    temperature: Temperature | None = None


class Mix(_Strict):
    """How many rows are to be hard ones: the method takes as many hard as random."""

    hard: Share = 0.0
    classifier: str | None = None
    """The teacher that tells hard instructions; needed where `hard` is above 0."""
    temperature: Temperature | None = None

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        if self.hard > 0.0 and self.classifier is None:
            raise ValueError("a share of hard rows needs a classifier: name a teacher")
        return self


class Columns(_Strict):
    """Names of the input's columns."""

    instruction: str = "instruction"
    source: str = "source"
    edited: str = "edited"


class ColdStartConfig(_Strict):
    """All of it."""

    seed: int = Field(default=0, ge=0, lt=2**31)
    prompts: str
    """Prompt set the SFT rows are written in, which is the one the judge will be served with."""
    teachers: dict[str, Teacher] = Field(min_length=1)
    mix: Mix = Mix()
    principles: PrincipleStep
    candidates: tuple[CandidateStep, ...] = Field(min_length=1)
    verifier: VerifierStep | None = None
    """Null needs --no-verifier."""
    columns: Columns = Columns()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.prompts not in prompt_set_names():
            raise ValueError(f"prompts: no set {self.prompts!r}; there are: {', '.join(prompt_set_names())}")
        self._check_use("principles", self.principles.teacher, self.principles.temperature)
        for index, step in enumerate(self.candidates):
            where = f"candidates.{index}"
            teacher = self._check_use(where, step.teacher, step.temperature)
            chat = isinstance(teacher, OpenAiTeacher)
            if chat and step.variant not in VARIANTS:
                raise ValueError(f"{where}.variant: {step.variant!r} is none of {', '.join(VARIANTS)}")
            if not chat and step.variant is not None:
                raise ValueError(f"{where}.variant: a teacher of kind {teacher.kind} has no variants; leave it out")
            if isinstance(teacher, ServiceTeacher) and step.samples > 1:
                raise ValueError(f"{where}.samples: a service samples as its judge card says and would repeat itself")
        for name, user in (("verifier", self.verifier), ("mix", self.mix)):
            asked = None if user is None else user.teacher if isinstance(user, VerifierStep) else user.classifier
            if user is not None and asked is not None:
                key = "teacher" if name == "verifier" else "classifier"
                if isinstance(self._check_use(name, asked, user.temperature, key), ServiceTeacher):
                    raise ValueError(f"{name}.{key}: a service only decomposes and judges; name another kind")
        return self

    def _check_use(self, where: str, name: str, temperature: float | None, key: str = "teacher") -> Teacher:
        if name not in self.teachers:
            raise ValueError(f"{where}.{key}: no teacher {name!r}; there are: {', '.join(self.teachers)}")
        teacher = self.teachers[name]
        if isinstance(teacher, OpenAiTeacher) and temperature is None:
            raise ValueError(f"{where}.temperature: a teacher of kind openai needs one")
        if not isinstance(teacher, OpenAiTeacher) and temperature is not None:
            raise ValueError(f"{where}.temperature: a teacher of kind {teacher.kind} has none to set; leave it out")
        return teacher


def config_names() -> tuple[str, ...]:
    """Names of the configurations that ship with the package."""
    folder = files(__package__).joinpath("configs")
    return tuple(sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml")))


def load_config(name: str) -> ColdStartConfig:
    """Read a configuration by its shipped name, or from a YAML file.

    Raises:
        ColdStartError: There is none, or it is not a configuration; the message names the field.
    """
    if name in config_names():
        text = files(__package__).joinpath("configs", f"{name}.yaml").read_text(encoding="utf-8")
    else:
        try:
            text = Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ColdStartError(
                f"no teachers {name!r}: not {' or '.join(config_names())}, nor a file that can be read ({error})"
            ) from None
    try:
        values: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ColdStartError(f"{name} is not YAML: {' '.join(str(error).split())}") from None
    return parse_config(name, values)


def parse_config(name: str, values: Any) -> ColdStartConfig:
    """Check a configuration's values.

    Raises:
        ColdStartError: The first field that is wrong, and how.
    """
    try:
        return ColdStartConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(piece) for piece in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise ColdStartError(f"{name}: {where}: {message}" if where else f"{name}: {message}") from None
