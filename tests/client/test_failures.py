"""What a client says about services that are not there, not ready, or not this service."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import httpx2
import pytest

from edit_rrm_client import BadResponseError, ConnectionFailedError, RewardClient, RewardClientError

URL = "http://judge.test"


def mocked(handler: Callable[[httpx2.Request], httpx2.Response], **options: float) -> RewardClient:
    return RewardClient(URL, transport=httpx2.MockTransport(handler), timeout=options.get("timeout", 5.0))


def raising(error: Exception) -> Callable[[httpx2.Request], httpx2.Response]:
    def handler(request: httpx2.Request) -> httpx2.Response:
        raise error

    return handler


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_nobody_there(closed_port: int) -> None:
    with RewardClient(f"http://127.0.0.1:{closed_port}") as client, pytest.raises(ConnectionFailedError) as caught:
        client.reward("x", b"source", b"edited")
    assert (caught.value.code, caught.value.status, caught.value.retryable) == ("connection_failed", None, True)
    assert f"http://127.0.0.1:{closed_port} did not answer" in str(caught.value)
    assert "edit-rrm serve" in str(caught.value)


def test_an_answer_that_does_not_come_says_how_to_wait_longer(silent_port: int) -> None:
    url = f"http://127.0.0.1:{silent_port}"
    with RewardClient(url, timeout=0.1) as client, pytest.raises(ConnectionFailedError) as caught:
        client.identity()
    assert (caught.value.code, caught.value.retryable) == ("no_answer_in_time", True)
    assert "within 0.1 s" in str(caught.value)
    assert "timeout=" in str(caught.value)


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (httpx2.ConnectError("refused"), ConnectionFailedError, "connection_failed"),
        (httpx2.ConnectTimeout(""), ConnectionFailedError, "connection_failed"),
        (httpx2.RemoteProtocolError("closed early"), ConnectionFailedError, "connection_failed"),
        (httpx2.ReadError(""), ConnectionFailedError, "connection_failed"),
        (httpx2.PoolTimeout(""), ConnectionFailedError, "no_answer_in_time"),
        (httpx2.DecodingError("bad gzip"), BadResponseError, "bad_response"),
    ],
)
def test_every_failure_of_the_network_is_typed(error: Exception, kind: type[RewardClientError], code: str) -> None:
    with mocked(raising(error), timeout=1.0) as client, pytest.raises(kind) as caught:
        client.reward("x", b"source", b"edited")
    assert caught.value.code == code
    # A deadline is because of the last failure, and that one because of this.
    assert error in (caught.value.__cause__, getattr(caught.value.__cause__, "__cause__", None))
    assert "()" not in str(caught.value), "an error without words is named by its type"


def test_another_service_at_that_url() -> None:
    page = httpx2.Response(200, text="<html>Welcome to nginx</html>")
    with mocked(lambda request: page) as client, pytest.raises(BadResponseError, match="is the URL right") as caught:
        client.identity()
    assert not caught.value.retryable


def test_a_redirect_is_not_followed_with_a_key_in_hand() -> None:
    moved = httpx2.Response(307, headers={"location": "http://elsewhere.test/"})
    with mocked(lambda request: moved) as client, pytest.raises(BadResponseError, match="HTTP 307"):
        client.identity()


@pytest.mark.parametrize("url", ["", "localhost:8000", "127.0.0.1:8000", "ftp://judge", "http://", "http://judge:port"])
def test_a_url_that_cannot_work_is_refused_at_once(url: str) -> None:
    with pytest.raises(RewardClientError, match=r"http://127\.0\.0\.1:8000") as caught:
        RewardClient(url)
    assert (caught.value.code, caught.value.retryable) == ("invalid_url", False)


def test_a_key_that_cannot_be_sent_is_refused_and_not_shown() -> None:
    for key in ("schlüssel", "two\nlines"):
        with pytest.raises(RewardClientError) as caught:
            RewardClient(URL, api_key=key)
        assert caught.value.code == "invalid_api_key"
        assert key not in str(caught.value)


def test_waiting_ends_when_the_service_is_ready() -> None:
    replies = iter([httpx2.Response(503, text="loading"), httpx2.Response(200)])
    asked: list[str] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        return next(replies)

    with mocked(handler) as client:
        client.wait_until_ready(10.0)
    assert asked == ["/readyz", "/readyz"]


def test_waiting_survives_a_port_that_opens_late(closed_port: int) -> None:
    def answer_late() -> None:
        time.sleep(0.3)
        with socket.create_server(("127.0.0.1", closed_port)) as listener:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

    late = threading.Thread(target=answer_late)
    late.start()
    with RewardClient(f"http://127.0.0.1:{closed_port}") as client:
        client.wait_until_ready(20.0)
    late.join()


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (raising(httpx2.ConnectError("refused")), "refused"),
        (lambda request: httpx2.Response(503, json={"status": "failed", "reason": "no config.json"}), "no config.json"),
        (lambda request: httpx2.Response(404, text="x" * 10_000), "HTTP 404"),
    ],
)
@pytest.mark.parametrize("within", [0.0, 0.3])
def test_waiting_in_vain_says_why(
    handler: Callable[[httpx2.Request], httpx2.Response], reason: str, within: float
) -> None:
    with mocked(handler) as client, pytest.raises(ConnectionFailedError, match=reason) as caught:
        client.wait_until_ready(within)
    assert (caught.value.code, caught.value.retryable) == ("not_ready", True)
    assert len(str(caught.value)) < 500
