"""OpenAI's chat API: what is sent, and that no reply, however odd, is read as more than it says."""

from __future__ import annotations

import base64
import io
import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edit_rrm_service.engines import chat_api
from edit_rrm_service.engines.base import Completion, EngineError, LabelReading, Prompt, Sampling
from edit_rrm_service.engines.chat_api import DataUrls, Dialect
from tests.engines.prompts import LABELS, picture, thinks

PLAIN = Dialect()
VLLM = Dialect(vllm="0.32.0", probe="token_ids", label_ids={"Yes": 11, "yes": 12, "No": 13})
TOP = Dialect(probe="top_logprobs")


def reply(**choice: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": "well"}
    return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"} | choice], "usage": None}


def tops(*pairs: tuple[str, float]) -> dict[str, Any]:
    rows = [{"token": token, "logprob": value} for token, value in pairs]
    return reply(logprobs={"content": [{"top_logprobs": rows}]})


def test_a_prompt_keeps_its_order_and_its_pixels() -> None:
    prompt = thinks(1)[0]
    system, user = chat_api.messages(prompt, DataUrls(), PLAIN)
    assert system == {"role": "system", "content": prompt.system}
    assert [item["type"] for item in user["content"]] == ["text", "image_url", "text", "image_url", "text"]
    for part, item in zip(prompt.parts, user["content"], strict=True):
        if isinstance(part, str):
            assert item["text"] == part
        else:
            head, data = item["image_url"]["url"].split(",")
            assert head == "data:image/png;base64"
            assert Image.open(io.BytesIO(base64.b64decode(data))).tobytes() == part.pixels.tobytes()
            assert "uuid" not in item


def test_vllm_gets_our_digest_so_that_it_need_not_hash_pixels() -> None:
    image = picture(1)
    (item,) = chat_api.messages(Prompt("System.", (image,)), DataUrls(), VLLM)[1]["content"]
    assert item["uuid"] == image.digest


def test_data_urls_forget_the_image_that_was_not_used_longest() -> None:
    urls = DataUrls(size=2)
    one, two, three = (picture(seed) for seed in (1, 2, 3))
    first, second = urls.url(one), urls.url(two)
    assert urls.url(one) is first
    urls.url(three)
    assert urls.url(one) is first
    again = urls.url(two)
    assert again == second
    assert again is not second


def test_sampling_is_spelt_out() -> None:
    body = chat_api.generation("judge", [], Sampling(64, temperature=0.7, top_p=0.9, seed=3), PLAIN)
    assert body == {
        "model": "judge",
        "messages": [],
        "max_completion_tokens": 64,
        "temperature": 0.7,
        "top_p": 0.9,
        "seed": 3,
    }
    older = chat_api.generation("judge", [], Sampling(64), Dialect(limit_field="max_tokens"))
    assert older["max_tokens"] == 64
    assert not {"seed", "max_completion_tokens"} & older.keys()


def test_the_checkpoints_own_sampling_defaults_are_switched_off_on_vllm() -> None:
    body = chat_api.generation("judge", [], Sampling(64), VLLM)
    assert (body["repetition_penalty"], body["top_k"], body["min_p"]) == (1.0, 0, 0.0)


def test_a_probe_asks_for_one_token_and_the_labels() -> None:
    body = chat_api.probing("judge", [], VLLM)
    assert (body["max_completion_tokens"], body["temperature"], body["logprobs"]) == (1, 0.0, True)
    assert body["logprob_token_ids"] == [11, 12, 13]
    body = chat_api.probing("judge", [], TOP)
    assert body["top_logprobs"] == 20
    assert "logprob_token_ids" not in body


def test_a_completion_and_what_it_cost() -> None:
    usage = {"prompt_tokens": 30, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 16}}
    assert chat_api.completion(reply() | {"usage": usage}) == Completion("well", "stop", 30, 16, 4)
    assert chat_api.completion(reply(finish_reason="length")) == Completion("well", "length", 0, 0, 0)


def test_a_refusal_is_not_an_answer() -> None:
    declined = reply(message={"content": None, "refusal": "I can't judge this."})
    assert chat_api.completion(declined) == Completion("I can't judge this.", "refused", 0, 0, 0)
    assert chat_api.completion(reply(finish_reason="content_filter")).finish_reason == "refused"
    error = {"code": "content_filter", "message": "filtered"}
    assert chat_api.refusal(400, error) == Completion("filtered", "refused", 0, 0, 0)
    assert chat_api.refusal(500, error) is None
    assert chat_api.refusal(400, {"code": "context_length_exceeded"}) is None
    assert chat_api.refusal(400, {"code": ["odd"], "type": {}}) is None


@pytest.mark.parametrize("reason", ["tool_calls", "error", None])
def test_an_answer_that_ended_for_another_reason_is_an_error(reason: str | None) -> None:
    with pytest.raises(EngineError, match="finish_reason"):
        chat_api.completion(reply(finish_reason=reason))


def test_labels_are_found_by_token_id() -> None:
    found = chat_api.reading(tops(("token_id:11", -0.5), ("token_id:12", -3.0), ("token_id:13", -9.0)), LABELS, VLLM)
    assert found.logprobs == {"Yes": -0.5, "yes": -3.0, "No": -9.0, "no": -math.inf}


def test_a_label_that_was_asked_for_and_is_missing_is_an_error() -> None:
    with pytest.raises(EngineError, match="no log-probability for No"):
        chat_api.reading(tops(("token_id:11", -0.5), ("token_id:12", -3.0)), LABELS, VLLM)


def test_labels_are_found_by_text_and_their_spellings_add_up() -> None:
    found = chat_api.reading(tops(("Yes", math.log(0.5)), (" Yes", math.log(0.25)), ("Maybe", -3.0)), LABELS, TOP)
    assert found.logprobs["Yes"] == pytest.approx(math.log(0.75))
    assert found.logprobs["No"] == -math.inf


@pytest.mark.parametrize(
    "logprobs", [None, {}, {"content": []}, {"content": [{}]}, {"content": [{"top_logprobs": []}]}]
)
def test_no_log_probabilities_is_an_error(logprobs: Any) -> None:
    with pytest.raises(EngineError, match="no log-probabilities"):
        chat_api.reading(reply(logprobs=logprobs), LABELS, TOP)


@pytest.mark.parametrize("value", [math.nan, math.inf, 3.0, 1e300, "-0.5x", None, True])
def test_what_is_no_log_probability_is_an_error(value: Any) -> None:
    for dialect, token in ((TOP, "Yes"), (VLLM, "token_id:11")):
        rest = [("token_id:12", -3.0), ("token_id:13", -3.0)]
        with pytest.raises(EngineError):
            chat_api.reading(tops((token, value), *rest), LABELS, dialect)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def odd(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Objects that have some of these fields, each as it should be or anything else, or no such object at all."""
    return st.fixed_dictionaries({}, optional={name: value | JSON for name, value in fields.items()}) | JSON


PAIR = odd(token=st.sampled_from(["Yes", "token_id:11", "token_id:12", "token_id:13"]), logprob=st.floats(-20.0, 0.0))
LOGPROBS = odd(content=st.lists(odd(top_logprobs=st.lists(PAIR, max_size=4)), max_size=2))
CHOICE = odd(
    message=odd(content=st.text(max_size=5), refusal=st.none()),
    finish_reason=st.sampled_from(["stop", "length", "content_filter"]),
    logprobs=LOGPROBS,
)
USAGE = odd(prompt_tokens=st.integers(0, 9), prompt_tokens_details=odd(cached_tokens=st.integers(0, 9)))
REPLY = st.fixed_dictionaries({"choices": st.lists(CHOICE, max_size=2) | JSON, "usage": USAGE})


@settings(deadline=None)
@given(REPLY)
def test_no_reply_raises_anything_but_an_engine_error(odd_reply: dict[str, Any]) -> None:
    with suppress(EngineError):
        assert isinstance(chat_api.completion(odd_reply), Completion)
    for dialect in (TOP, VLLM):
        try:
            found = chat_api.reading(odd_reply, LABELS, dialect)
        except EngineError:
            continue
        assert isinstance(found, LabelReading)
        assert set(found.logprobs) == set(LABELS)
        assert all(value <= 0.0 for value in found.logprobs.values())
