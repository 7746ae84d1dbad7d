"""A server that speaks OpenAI's chat API over a real socket, and misbehaves as told."""

from __future__ import annotations

import asyncio
import json
import math
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

MODEL = "fake-judge"
TOKENS = {"Yes": 11, "yes": 12, "No": 13, "no": 14}
P_YES = 0.8

Answer = Callable[[Request, dict[str, Any]], Awaitable[Response]]
"""Takes a request and its JSON body."""


@dataclass
class FakeServer:
    """What a server is told to do, and what it saw. Change it while it runs."""

    url: str = ""
    script: deque[Answer] = field(default_factory=deque)
    """Answers to the next chat requests, first come first served; then `usual`."""
    usual: Answer | None = None
    """Answer where the script is at its end; null answers well."""
    models: Answer | None = None
    """Answer to the list of models; null lists `MODEL`."""
    vllm: str | None = None
    """Version to claim under `/version`; null has no such endpoint."""
    texts: str = "fine"
    bodies: list[dict[str, Any]] = field(default_factory=list)
    """Of chat requests."""
    keys: list[str | None] = field(default_factory=list)
    """`Authorization` of every request."""
    disconnects: int = 0
    """Requests whose client left before its answer."""

    def hits(self) -> int:
        return len(self.bodies)

    async def chat(self, request: Request) -> Response:
        body = await request.json()
        self.keys.append(request.headers.get("authorization"))
        self.bodies.append(body)
        answer = self.script.popleft() if self.script else self.usual
        return await answer(request, body) if answer else good(body, self.texts)

    async def list_models(self, request: Request) -> Response:
        self.keys.append(request.headers.get("authorization"))
        if self.models:
            return await self.models(request, {})
        return JSONResponse({"data": [{"id": MODEL, "object": "model"}]})

    async def version(self, request: Request) -> Response:
        return JSONResponse({"version": self.vllm}) if self.vllm else Response(status_code=404)

    async def tokenize(self, request: Request) -> Response:
        if not self.vllm:
            return Response(status_code=404)
        turns = (await request.json())["messages"]
        label = [turns[-1]["content"]] if turns[-1]["role"] == "assistant" else []
        added = [token for text in label for token in ([TOKENS[text]] if text in TOKENS else [98, 99])]
        return JSONResponse({"tokens": [1, 2, 3, *added]})

    def hang(self) -> Answer:
        """Never answer."""

        async def answer(request: Request, body: dict[str, Any]) -> Response:
            message = await request.receive()
            assert message["type"] == "http.disconnect"  # the body was read before
            self.disconnects += 1
            return Response()

        return answer


def good(body: dict[str, Any], text: str) -> Response:
    """A well-formed completion, with the log-probabilities that were asked for."""
    choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    if body.get("logprobs"):
        names = {f"token_id:{token}": name for name, token in TOKENS.items()}
        asked = [f"token_id:{token}" for token in body.get("logprob_token_ids", [])] or list(TOKENS)
        probability = {"Yes": P_YES, "No": 0.9 - P_YES, "yes": 0.05, "no": 0.01}
        rows = [{"token": token, "logprob": math.log(probability[names.get(token, token)])} for token in asked]
        choice |= {"logprobs": {"content": [{"token": "Yes", "top_logprobs": rows}]}, "finish_reason": "length"}
    usage = {"prompt_tokens": 50, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 32}}
    return JSONResponse({"choices": [choice], "usage": usage})


def failing(status: int, message: str = "no luck", *, code: str = "", headers: dict[str, str] | None = None) -> Answer:
    """Answer with an error in OpenAI's shape."""

    async def answer(request: Request, body: dict[str, Any]) -> Response:
        error = {"message": message, "type": "error", "code": code}
        return JSONResponse({"error": error}, status_code=status, headers=headers)

    return answer


def saying(content: str | bytes) -> Answer:
    """Answer 200 with something else than the API's JSON."""

    async def answer(request: Request, body: dict[str, Any]) -> Response:
        return Response(content, media_type="application/json")

    return answer


def without_logprobs() -> Answer:
    """Answer as hosts do that ignore `logprobs`."""

    async def answer(request: Request, body: dict[str, Any]) -> Response:
        return good({key: value for key, value in body.items() if key != "logprobs"}, "Yes")

    return answer


def older() -> Answer:
    """Answer as hosts do that know `max_tokens` only."""

    async def answer(request: Request, body: dict[str, Any]) -> Response:
        if "max_completion_tokens" in body:
            return await failing(400, "unknown field max_completion_tokens")(request, body)
        return good(body, "fine")

    return answer


def slow(seconds: float) -> Answer:
    """Answer well, but late."""

    async def answer(request: Request, body: dict[str, Any]) -> Response:
        await asyncio.sleep(seconds)
        return good(body, "late")

    return answer


@contextmanager
def running() -> Iterator[FakeServer]:
    """Run a server on a free port."""
    fake = FakeServer()
    routes = [
        Route("/v1/chat/completions", fake.chat, methods=["POST"]),
        Route("/v1/models", fake.list_models),
        Route("/version", fake.version),
        Route("/tokenize", fake.tokenize, methods=["POST"]),
    ]
    config = uvicorn.Config(
        Starlette(routes=routes), host="127.0.0.1", port=0, log_level="critical", ws="none", lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60.0
    while not server.started:
        assert time.monotonic() < deadline, "the fake server did not start"
        time.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    fake.url = f"http://127.0.0.1:{port}/v1"
    try:
        yield fake
    finally:
        server.should_exit = True
        thread.join(30.0)


def text_of(body: dict[str, Any]) -> str:
    """All text of a chat request's user turn."""
    content = body["messages"][-1]["content"]
    return json.dumps([item.get("text") for item in content])
