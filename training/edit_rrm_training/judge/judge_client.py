"""A served judge as the evaluations see it: over HTTP, through the client, like any trainer."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from PIL import Image

from edit_rrm.principles import Principle
from edit_rrm.verdicts import Mode, Outcome, Reward
from edit_rrm_client import RewardClient, RewardClientError
from edit_rrm_client.local import local_service
from edit_rrm_training.shapes import Sample


class ServedJudge:
    """Asks a running service about samples of the shapes world."""

    def __init__(self, url: str, api_key: str | None = None) -> None:
        """Connect to a service; use as a context manager."""
        self._client = RewardClient(url, api_key=api_key, timeout=600.0)

    def __enter__(self) -> ServedJudge:
        """Return the judge."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self._client.close()

    def verify(self, sample: Sample, principles: Sequence[Principle], mode: Mode) -> Reward:
        """Judge a sample's edit by the given principles."""
        source, edited = Image.fromarray(sample.source_pixels()), Image.fromarray(sample.edited_pixels())
        # The group endpoint answers every outcome with 200, so that an unscored edit is a result and not an exception.
        reply = self._client.rewards(sample.instruction, source, [edited], principles=principles, mode=mode)
        return reply.raise_for_error().results[0]

    def decompose(self, sample: Sample) -> tuple[Principle, ...] | Outcome:
        """Break a sample's instruction into principles, or say what came instead."""
        try:
            return self._client.decompose(sample.instruction, Image.fromarray(sample.source_pixels())).principles
        except RewardClientError as error:
            if error.code in {outcome.value for outcome in Outcome}:
                return Outcome(error.code)
            raise

    def identity(self) -> str:
        """Hash of what exactly is judging."""
        return self._client.identity().identity


@contextmanager
def serving(url: str | None, model: str | None, engine: str, base_urls: Sequence[str] = ()) -> Iterator[str]:
    """The URL given, or that of a service started for the occasion.

    Args:
        url: A running service.
        model: Judge to serve; the shipped one by default.
        engine: Engine to serve it with.
        base_urls: Servers behind the engine `openai`.
    """
    if url is not None:
        yield url
        return
    arguments = ["--engine", engine, *([] if model is None else ["--model", model])]
    arguments += [word for base_url in base_urls for word in ("--base-url", base_url)]
    with (
        tempfile.TemporaryDirectory() as folder,
        local_service(arguments, log=Path(folder) / "server.log") as started,
    ):
        yield started
