"""A service that is killed, refuses for a while and comes back: the run takes longer, and learns the same."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edit_rrm.verdicts import Aggregation, Mode
from edit_rrm_client import Group, GroupResult, RewardClient
from tests.client.fake_service import running
from tests.client.steps import failed
from tests.fakes.service_process import fake_service, free_port
from tests.training.editor.toy_run import Notes, toy_run, weights

_REFUSES_S = 2.0
_AT = 9
"""Groups that are asked about before: an evaluation's and a step's."""


@pytest.mark.slow
def test_an_outage_only_slows_a_run(tmp_path: Path) -> None:
    """Rewards that come late are the rewards, and nothing is masked: the same weights, to the bit."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    quiet, troubled = Notes(), Notes()
    with RewardClient(url, timeout=60.0, expect_identity="first") as client:
        with fake_service(tmp_path / "log", port=port):
            undisturbed = toy_run(tmp_path / "quiet", client, quiet, steps=4)
            undisturbed.run()
        with ExitStack() as stack:
            first = stack.enter_context(ExitStack())
            first.enter_context(fake_service(tmp_path / "log", port=port))

            def outage() -> None:
                first.close()
                with running(_refusing(), port):
                    time.sleep(_REFUSES_S)
                stack.enter_context(fake_service(tmp_path / "log", port=port))

            judge = _Interrupted(client, threading.Thread(target=outage))
            disturbed = toy_run(tmp_path / "troubled", judge, troubled, steps=4)
            disturbed.run()
            judge.outage.join()
        stats = client.stats()
    assert stats.retries.get("connection_failed", 0) > 0
    assert stats.retries.get("draining", 0) > 0
    assert all(step["masked"] == 0.0 for step in troubled.steps)
    assert max(step["waited_s"] for step in troubled.steps) > _REFUSES_S
    assert [step["reward"] for step in troubled.steps] == [step["reward"] for step in quiet.steps]
    assert torch.equal(weights(disturbed), weights(undisturbed))


class _Interrupted:
    """Asks a service, and lets an outage begin at one of the groups."""

    def __init__(self, client: RewardClient, outage: threading.Thread) -> None:
        self._client = client
        self.outage = outage
        self._asked = 0

    def score_groups(
        self, groups: Sequence[Group], *, mode: Mode = Mode.THINK, aggregation: Aggregation | None = None
    ) -> list[GroupResult]:
        self._asked += 1
        if self._asked == _AT:
            self.outage.start()
        return self._client.score_groups(groups, mode=mode, aggregation=aggregation)


def _refusing() -> Starlette:
    """Answers everything as a service does that is about to stop."""
    answer = failed(503, "draining", retryable=True)

    async def refuse(request: Request) -> Response:
        return Response(answer.body, 503, {"retry-after": "1"}, media_type="application/json")

    return Starlette(routes=[Route("/{path:path}", refuse, methods=["GET", "POST"])])
