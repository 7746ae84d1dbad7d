"""A service that answers at once, so that what is measured is the client: `python -m benchmarks.instant_service`.

It prints its URL, reads every body to its end, and answers `/v1/rewards` with as many results as there were edits, each
of a real one's size. It judges nothing.
"""

from __future__ import annotations

import socket
from typing import Any

import uvicorn

from edit_rrm.principles import Category, Principle
from edit_rrm.verdicts import Aggregation, Mode, Outcome, Reward, Verdict
from edit_rrm.wire import RewardsResponse

_EDITED = b'name="edited"'
_IDENTITY = "0" * 64
_QUESTIONS = tuple(f"Is condition {number} of the instruction met by the edited image?" for number in range(7))


def answer(edits: int) -> bytes:
    """A group's answer: seven verdicts with a sentence each, and two kilobytes of reasoning an edit."""
    principles = tuple(Principle(question=text, category=Category.INSTRUCTION_FOLLOWING) for text in _QUESTIONS)
    verdicts = tuple(
        Verdict(principle=principle, passed=True, rationale="It is met: the region shows what was asked for.")
        for principle in principles
    )
    result = Reward(
        outcome=Outcome.SCORED,
        score=7.5,
        reward=0.75,
        average=1.0,
        aggregation=Aggregation.MODEL,
        mode=Mode.THINK,
        verdicts=verdicts,
        reasoning="The edited image is compared with its source, region by region. " * 32,
        request_id="benchmark",
        identity=_IDENTITY,
    )
    response = RewardsResponse(
        results=(result,) * edits, principles=principles, request_id="benchmark", identity=_IDENTITY
    )
    return response.model_dump_json().encode()


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """ASGI 3."""
    if scope["type"] != "http":
        return
    edits, tail, more = 0, b"", True
    while more:
        message = await receive()
        piece = tail + message.get("body", b"")
        edits += piece.count(_EDITED)
        # A name may be cut in two; what is kept is too short to be counted twice.
        tail = piece[len(piece) - len(_EDITED) + 1 :] if len(piece) >= len(_EDITED) else piece
        more = message.get("more_body", False)
    body = answer(edits) if edits else b"{}"
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main() -> None:
    """Serve on a free port until the process is ended."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    main()
