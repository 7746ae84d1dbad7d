"""Every log line carries its request's id, and nothing a client sends can forge one."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edit_rrm_service.engines.base import Prompt
from edit_rrm_service.logs import JsonFormatter, TextFormatter, configure_logs
from edit_rrm_service.request_id import current_request_id
from tests.fakes.engine import GOOD, FakeEngine
from tests.service.running import post, running


def record(message: str, *values: object, failed: bool = False) -> logging.LogRecord:
    traceback = sys.exc_info() if failed else None
    made = logging.LogRecord("edit_rrm_service.test", logging.INFO, "file.py", 1, message, values, traceback)
    made.created = 1_700_000_000.25
    return made


@contextmanager
def written(formatter: logging.Formatter) -> Iterator[io.StringIO]:
    """What the service logs, as text."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logger = logging.getLogger("edit_rrm_service")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield stream
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def test_a_line_for_people() -> None:
    assert TextFormatter().format(record("took %d ms", 7)) == "2023-11-14T22:13:20.250Z info    took 7 ms"
    token = current_request_id.set("step-7")
    try:
        assert TextFormatter().format(record("done")) == "2023-11-14T22:13:20.250Z info    [step-7] done"
    finally:
        current_request_id.reset(token)


def test_a_line_for_collectors() -> None:
    assert json.loads(JsonFormatter().format(record("took %d ms", 7))) == {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "info",
        "logger": "edit_rrm_service.test",
        "request_id": None,
        "message": "took 7 ms",
    }


def test_a_traceback_is_kept() -> None:
    try:
        raise ValueError("why")
    except ValueError:
        line = record("it failed", failed=True)
    assert TextFormatter().format(line).endswith("ValueError: why")
    assert json.loads(JsonFormatter().format(line))["exception"].endswith("ValueError: why")


@given(st.text())
def test_a_message_stays_on_one_line_whatever_it_says(text: str) -> None:
    line = TextFormatter().format(record("%s", text))
    assert line.splitlines() == [line]
    assert line.isprintable()
    entry = JsonFormatter().format(record("%s", text))
    assert "\n" not in entry
    assert json.loads(entry)["message"] == text


async def test_every_line_of_a_request_has_its_id() -> None:
    def judgement(prompt: Prompt) -> str:
        logging.getLogger("edit_rrm_service.engines").info("judging")
        return GOOD

    with written(JsonFormatter()) as stream:
        async with running(FakeEngine(judgement=judgement)) as client:
            stream.truncate(0)
            stream.seek(0)
            await post(client, headers={"x-request-id": "step-7"})
            lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["request_id"] for line in lines] == ["step-7"] * 2
    assert lines[0]["message"] == "judging"
    assert lines[1]["message"].startswith("POST /v1/reward 200 ")
    assert current_request_id.get() is None


async def test_a_path_cannot_forge_a_line() -> None:
    with written(TextFormatter()) as stream:
        async with running(FakeEngine()) as client:
            await client.get("/v1/x%0a2026-01-01T00:00:00.000Z%20info%20forged%1b[31m")
    assert all("info" in line and "forged" not in line.split("GET")[0] for line in stream.getvalue().splitlines())
    assert "\x1b" not in stream.getvalue()


async def test_probes_that_ask_every_second_are_not_logged() -> None:
    with written(TextFormatter()) as stream:
        async with running(FakeEngine()) as client:
            for path in ("/livez", "/readyz", "/startupz"):
                await client.get(path)
    assert "GET" not in stream.getvalue()


@pytest.mark.usefixtures("logging_as_before")
@pytest.mark.parametrize(("kind", "formatter"), [("text", TextFormatter), ("json", JsonFormatter)])
def test_the_service_logs_from_its_level_and_others_from_warnings(kind: str, formatter: type) -> None:
    configure_logs("info", kind)
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler.formatter, formatter)
    assert logging.getLogger("edit_rrm_service.judge").isEnabledFor(logging.INFO)
    assert not logging.getLogger("edit_rrm_service.judge").isEnabledFor(logging.DEBUG)
    assert not logging.getLogger("httpx2").isEnabledFor(logging.INFO)
