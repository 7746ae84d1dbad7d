"""RewardClient against the real service over real HTTP, with an engine whose answers the tests choose."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from edit_rrm.verdicts import Aggregation, Mode, Outcome
from edit_rrm_client import ApiStatusError, AuthenticationError, ImageInput, RewardClient, RewardClientError
from edit_rrm_service.auth import hash_key
from tests.client.fake_service import P_YES, PRINCIPLES, judgement, judging_service

SOURCE = Image.new("RGB", (64, 64), "red")
BABBLE = Image.new("RGB", (64, 64), "black")
KEY = "a-key-of-ours"


def answer(edited: Image.Image) -> str:
    """The bluer, the better; of black images the judge babbles."""
    red, _, blue = edited.getpixel((0, 0))  # type: ignore[misc]  # a tuple, as edited images are RGB
    if red == blue == 0:
        return "I am not sure."
    return judgement(round(blue / 25.5, 1), (blue > red, True))


def blue(share: float) -> Image.Image:
    return Image.new("RGB", (64, 64), (40, 40, round(255 * share)))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with judging_service(answer) as started:
        yield started


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[RewardClient]:
    with RewardClient(url) as ready:
        ready.wait_until_ready(30.0)
        yield ready


def test_one_edit_is_judged_with_reasons(client: RewardClient) -> None:
    reward = client.reward("make the star blue", SOURCE, blue(1.0))
    assert (reward.outcome, reward.score, reward.reward) == (Outcome.SCORED, 10.0, 1.0)
    assert [verdict.principle for verdict in reward.verdicts] == list(PRINCIPLES)
    assert [verdict.rationale for verdict in reward.verdicts] == ["was red, is blue", "still there"]
    assert reward.identity == client.identity().identity


def test_a_group_comes_back_in_order_and_a_bad_edit_costs_itself_alone(client: RewardClient) -> None:
    reply = client.rewards("make the star blue", SOURCE, [blue(0.5), BABBLE, b"no image", blue(1.0)])
    outcomes = [result.outcome for result in reply.results]
    assert outcomes == [Outcome.SCORED, Outcome.UNPARSABLE, Outcome.BAD_IMAGE, Outcome.SCORED]
    assert [result.score for result in reply.results] == [5.0, None, None, 10.0]
    assert reply.results[2].error is not None
    assert reply.results[2].error.param == "edited[2]"
    assert reply.principles == PRINCIPLES


def test_an_unscored_edit_is_an_error_and_never_a_number(client: RewardClient) -> None:
    with pytest.raises(ApiStatusError) as caught:
        client.reward("make the star blue", SOURCE, BABBLE)
    assert (caught.value.code, caught.value.status) == ("unparsable", 502)
    assert caught.value.request_id
    with pytest.raises(ApiStatusError) as caught:
        client.reward("make the star blue", SOURCE, b"no image")
    assert (caught.value.code, caught.value.status, caught.value.param) == ("bad_image", 422, "edited")
    assert not caught.value.retryable


def test_options_reach_the_judge(client: RewardClient) -> None:
    probed = client.reward("x", SOURCE, blue(0.1), mode=Mode.PROBE, aggregation=Aggregation.MIN)
    assert (probed.mode, probed.aggregation) == (Mode.PROBE, Aggregation.MIN)
    assert probed.reward == pytest.approx(P_YES)
    sampled = client.reward("x", SOURCE, blue(0.5), samples=3)
    assert (sampled.samples, sampled.score_std) == (3, 0.0)
    reversed_principles = PRINCIPLES[::-1]
    judged = client.reward("x", SOURCE, blue(0.5), principles=reversed_principles)
    assert tuple(verdict.principle for verdict in judged.verdicts) == reversed_principles


def test_decompose_and_verify(client: RewardClient) -> None:
    assert client.decompose("make the star blue", SOURCE).principles == PRINCIPLES
    verified = client.verify("make the star blue", SOURCE, Image.new("RGB", (64, 64), "red"), PRINCIPLES)
    assert [verdict.passed for verdict in verified.verdicts] == [False, True]
    probed = client.verify("make the star blue", SOURCE, blue(1.0), PRINCIPLES, mode=Mode.PROBE)
    assert [verdict.probability for verdict in probed.verdicts] == [pytest.approx(P_YES)] * 2


def test_images_go_as_paths_bytes_and_pil_alike(client: RewardClient, tmp_path: Path) -> None:
    path = tmp_path / "edited.png"
    blue(0.7).save(path)
    forms: list[ImageInput] = [str(path), path, path.read_bytes(), blue(0.7)]
    assert {client.reward("x", SOURCE, form).score for form in forms} == {7.0}


def test_what_is_wrong_with_a_request_is_named(client: RewardClient) -> None:
    with pytest.raises(ApiStatusError, match="instruction") as caught:
        client.reward("   ", SOURCE, blue(1.0))
    assert (caught.value.code, caught.value.status, caught.value.param) == ("invalid_request", 422, "instruction")
    with pytest.raises(RewardClientError, match="at least one edited image") as none:
        client.rewards("x", SOURCE, [])
    assert (none.value.code, none.value.param) == ("invalid_request", "edited")
    with pytest.raises(FileNotFoundError):
        client.reward("x", "missing.png", blue(1.0))


def test_one_client_serves_many_threads(client: RewardClient) -> None:
    shares = [index / 10 for index in range(11)]
    with ThreadPoolExecutor(8) as pool:
        scores = list(pool.map(lambda share: client.reward("x", SOURCE, blue(share)).score, shares))
    assert scores == [round(round(255 * share) / 25.5, 1) for share in shares]


def test_a_key_is_sent_where_there_is_one() -> None:
    with judging_service(answer, api_key_hashes=(hash_key(KEY),)) as url:
        with RewardClient(url, api_key=f"{KEY}\n") as client:
            client.wait_until_ready(30.0)
            assert client.reward("x", SOURCE, blue(1.0)).score == 10.0
        for key in (None, "another"):
            with RewardClient(url, api_key=key) as stranger, pytest.raises(AuthenticationError) as caught:
                stranger.reward("x", SOURCE, blue(1.0))
            assert (caught.value.status, caught.value.retryable) == (401, False)
