"""Teachers behind OpenAI's chat API, against a real server on a socket that misbehaves as told."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from PIL import Image
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edit_rrm_training.judge.cold_start.config import OpenAiTeacher
from edit_rrm_training.judge.cold_start.errors import AnswerError, ColdStartError, UnavailableError
from edit_rrm_training.judge.cold_start.exemplars import load_pool
from edit_rrm_training.judge.cold_start.rows import EditRow
from edit_rrm_training.judge.cold_start.teachers.chat import ChatHost, ChatTeacher, data_url
from tests.engines.fake_openai import FakeServer, failing, running, saying, text_of
from tests.training.cold_start.people import PRINCIPLES, png

Ask = Callable[[ChatTeacher], Awaitable[str]]


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with running() as fake:
        yield fake


@pytest.fixture
def fresh(server: FakeServer) -> FakeServer:
    server.script.clear()
    server.bodies.clear()
    server.keys.clear()
    server.usual = None
    return server


def jpeg(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "JPEG")
    return buffer.getvalue()


ROW = EditRow("row", "task", "here/0", "make it <b>blue</b>\nnow", png("red"), jpeg("blue"))


def think(teacher: ChatTeacher) -> Awaitable[str]:
    return teacher.think(ROW, PRINCIPLES, 5)


def ask(url: str, question: Ask = think, **options: Any) -> str:
    config = OpenAiTeacher.model_validate(
        {"kind": "openai", "base_url": url, "model": "m", "retries": 0, "budget_s": 20} | options
    )

    async def run() -> str:
        host = ChatHost("big", config)
        try:
            return await question(ChatTeacher(host, 0.7, "sceptic"))
        finally:
            await host.close()

    return asyncio.run(run())


def finishing(**choice: Any) -> Any:
    async def answer(request: Request, body: dict[str, Any]) -> Response:
        message = {"role": "assistant", "content": choice.get("content", "hm"), "refusal": choice.get("refusal")}
        told = {"index": 0, "message": message, "finish_reason": choice.get("finish_reason", "stop")}
        return JSONResponse({"choices": [told]})

    return answer


def test_what_is_sent(fresh: FakeServer) -> None:
    assert ask(fresh.url) == "fine"
    (body,) = fresh.bodies
    assert (body["model"], body["temperature"], body["seed"], body["max_completion_tokens"]) == ("m", 0.7, 5, 4096)
    system, user = body["messages"]
    assert "objection" in system["content"]
    pictures = [item["image_url"]["url"] for item in user["content"] if item["type"] == "image_url"]
    assert len(pictures) == 2
    for picture, colour in zip(pictures, ((255, 0, 0), (0, 0, 254)), strict=True):
        kind, _, data = picture.partition(",")
        assert kind == "data:image/png;base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            assert image.format == "PNG"
            assert image.getpixel((4, 4)) == colour
    assert "make it ‹b›blue‹/b› now" in user["content"][0]["text"]
    assert fresh.keys == ["Bearer none"]


def test_every_role_has_its_own_prompt_and_images(fresh: FakeServer) -> None:
    roles: dict[str, tuple[Ask, int]] = {
        "Checklists that experts wrote": (lambda teacher: teacher.write(ROW, load_pool(None)[:4], 1), 1),
        "Several inspectors": (lambda teacher: teacher.verify(ROW, PRINCIPLES, ["note"], 1), 2),
        "The request is hard": (lambda teacher: teacher.classify(ROW, 1), 1),
    }
    for words, (question, count) in roles.items():
        ask(fresh.url, question)
        body = fresh.bodies[-1]
        assert words in text_of(body)
        assert sum(item["type"] == "image_url" for item in body["messages"][1]["content"]) == count


def test_older_hosts_and_hosts_without_seeds(fresh: FakeServer) -> None:
    ask(fresh.url, limit_field="max_tokens", max_tokens=99, seeds=False)
    (body,) = fresh.bodies
    assert body["max_tokens"] == 99
    assert "seed" not in body
    assert "max_completion_tokens" not in body


def test_the_key_comes_from_the_environment(fresh: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "not-for-this-host")
    monkeypatch.setenv("TEACHER_KEY", "ours\n")
    ask(fresh.url, api_key_env="TEACHER_KEY")
    ask(fresh.url)
    assert fresh.keys == ["Bearer ours", "Bearer none"]
    monkeypatch.delenv("TEACHER_KEY")
    with pytest.raises(ColdStartError, match="teacher big: the environment variable TEACHER_KEY holds no API key"):
        ask(fresh.url, api_key_env="TEACHER_KEY")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (finishing(finish_reason="length"), "truncated"),
        (finishing(finish_reason="content_filter"), "refused"),
        (finishing(refusal="I cannot"), "refused"),
        (finishing(content=""), "empty"),
        (finishing(content=None), "empty"),
        (finishing(finish_reason="tool_calls"), "unfinished"),
        (failing(400, "moderated", code="content_filter"), "refused"),
        (failing(400, "the image is too big"), "rejected"),
        (failing(422), "rejected"),
    ],
)
def test_an_answer_that_cannot_be_used_is_typed(fresh: FakeServer, answer: Any, reason: str) -> None:
    fresh.script.append(answer)
    with pytest.raises(AnswerError) as error:
        ask(fresh.url, retries=2)
    assert error.value.reason == reason
    assert fresh.hits() == 1


@pytest.mark.parametrize("content", ["[]", "7", "null", '{"choices": []}', "<html>a proxy</html>", ""])
def test_what_is_no_reply_of_the_api_is_no_answer(fresh: FakeServer, content: str) -> None:
    fresh.script.append(saying(content))
    with pytest.raises(UnavailableError, match=f"teacher big at {fresh.url}: the reply is not one of OpenAI's API"):
        ask(fresh.url)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_no_row_can_change_ends_the_run(fresh: FakeServer, status: int) -> None:
    fresh.script.append(failing(status, "who are you"))
    with pytest.raises(ColdStartError, match=f"teacher big: HTTP {status}; check .*who are you"):
        ask(fresh.url, retries=2)
    assert fresh.hits() == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_host_is_asked_again(fresh: FakeServer, status: int) -> None:
    fresh.script.append(failing(status, headers={"retry-after": "0.01"}))
    assert ask(fresh.url, retries=1) == "fine"
    fresh.usual = failing(status, "full", headers={"retry-after": "0.01"})
    with pytest.raises(UnavailableError, match=f"teacher big at {fresh.url}: HTTP {status}"):
        ask(fresh.url, retries=1)
    assert fresh.hits() == 4


def test_the_budget_holds_for_all_attempts_together(fresh: FakeServer) -> None:
    fresh.usual = fresh.hang()
    with pytest.raises(UnavailableError, match=r"no answer in 0\.3 s|timed out"):
        ask(fresh.url, retries=50, budget_s=0.3)


def test_nobody_there_is_unavailable() -> None:
    with pytest.raises(UnavailableError, match=r"teacher big at http://127\.0\.0\.1:9/v1: "):
        ask("http://127.0.0.1:9/v1")


def test_no_more_requests_are_under_way_than_allowed(fresh: FakeServer) -> None:
    running_now = most = 0

    async def counting(request: Request, body: dict[str, Any]) -> Response:
        nonlocal running_now, most
        running_now += 1
        most = max(most, running_now)
        await asyncio.sleep(0.02)
        running_now -= 1
        return await finishing()(request, body)  # type: ignore[no-any-return]  # as every answer

    fresh.usual = counting

    async def many(teacher: ChatTeacher) -> str:
        return "".join(await asyncio.gather(*(think(teacher) for _ in range(12))))

    assert ask(fresh.url, many, concurrency=3) == "hm" * 12
    assert most == 3


def test_a_png_is_sent_as_it_is() -> None:
    content = png("red")
    assert data_url(content) == "data:image/png;base64," + base64.b64encode(content).decode()
