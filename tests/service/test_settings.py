"""Settings: flags win over the environment, the environment over defaults, and nonsense is refused at start."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edit_rrm_service.auth import hash_key
from edit_rrm_service.settings import SHIPPED_JUDGE, Settings


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"EDIT_RRM_{name.upper()}", raising=False)


def test_flags_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDIT_RRM_PORT", "9000")
    assert Settings().port == 9000
    assert Settings(port=9001).port == 9001


def test_lists_are_comma_separated_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = [hash_key("one"), hash_key("two")]
    monkeypatch.setenv("EDIT_RRM_BASE_URLS", "http://a:1/v1, http://b:2/v1,")
    monkeypatch.setenv("EDIT_RRM_API_KEY_HASHES", " , ".join(hashes))
    assert Settings().base_urls == ("http://a:1/v1", "http://b:2/v1")
    assert Settings().api_key_hashes == tuple(hashes)


def test_without_any_the_shipped_judge_is_served_to_this_machine_alone() -> None:
    settings = Settings()
    assert settings.model == str(SHIPPED_JUDGE)
    assert (settings.host, settings.port, settings.engine) == ("127.0.0.1", 8000, "auto")
    assert settings.api_key_hashes == settings.base_urls == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": -1},
        {"port": 65_536},
        {"engine": "tensorrt"},
        {"dtype": "int8"},
        {"gpu_memory_utilization": 0.0},
        {"gpu_memory_utilization": 1.5},
        {"max_edits": 0},
        {"max_edits": 129},
        {"max_queued_work": 0},
        {"default_deadline_ms": 0},
        {"max_image_aspect": 0.5},
        {"log_level": "loud"},
    ],
)
def test_nonsense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(**wrong)


def test_a_secret_is_not_printed() -> None:
    assert "hush" not in repr(Settings(upstream_api_key="hush"))


def test_limits_and_engine_options_are_taken_from_them() -> None:
    settings = Settings(max_image_bytes=2_048, max_image_pixels=100, min_image_side=3, max_image_aspect=2.0)
    limits = settings.image_limits
    assert (limits.max_bytes, limits.max_pixels, limits.min_side, limits.max_aspect) == (2_048, 100, 3, 2.0)
    options = Settings(dtype="float32", base_urls=("http://a/v1",), upstream_api_key="hush").engine_options
    assert (options.dtype, options.base_urls, options.api_key) == ("float32", ("http://a/v1",), "hush")


@given(st.lists(st.text(st.characters(categories=["L", "N"], include_characters=":/."), min_size=1), max_size=5))
def test_a_list_survives_being_joined(urls: list[str]) -> None:
    assert Settings(base_urls=",".join(urls)).base_urls == tuple(urls)  # type: ignore[arg-type]  # as from the environment
