"""Configurations: read from YAML, checked to the last field, and errors that name it."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from edit_rrm_training.judge.cold_start.config import config_names, load_config, parse_config
from edit_rrm_training.judge.cold_start.errors import ColdStartError

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "examples" / "cold-start").glob("*.yaml"))
GOOD: dict[str, Any] = {
    "prompts": "standard",
    "teachers": {
        "big": {"kind": "openai", "base_url": "http://host/v1", "model": "m"},
        "judge": {"kind": "service", "url": "http://host"},
    },
    "principles": {"teacher": "big", "temperature": 0.7},
    "candidates": [{"teacher": "big", "variant": "plain", "temperature": 1.0, "samples": 2}, {"teacher": "judge"}],
    "verifier": {"teacher": "big", "temperature": 0.0},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    values = deepcopy(GOOD)
    *parents, last = path.split(".")
    inner: Any = values
    for key in parents:
        inner = inner[int(key) if key.isdecimal() else key]
    inner[int(last) if last.isdecimal() else last] = value
    return values


def test_a_configuration_can_be_used() -> None:
    config = parse_config("x", GOOD)
    assert config.candidates[0].samples == 2
    assert config.mix.hard == 0.0


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("prompts", "fancy", "prompts: no set 'fancy'; there are: nano, standard"),
        ("teachers.big.kind", "oracle", "teachers.big"),
        ("teachers.big.base_url", "host:8000", "teachers.big.openai.base_url"),
        ("teachers.big.temprature", 1, "teachers.big.openai.temprature"),
        ("teachers", {}, "teachers: "),
        ("principles.teacher", "bg", "principles.teacher: no teacher 'bg'; there are: big, judge"),
        ("principles.temperature", None, "principles.temperature: a teacher of kind openai needs one"),
        ("principles.temperature", 3, "principles.temperature"),
        ("candidates", [], "candidates"),
        ("candidates.0.variant", "loud", "candidates.0.variant: 'loud' is none of plain"),
        ("candidates.0.variant", None, "candidates.0.variant: None is none of"),
        ("candidates.1.variant", "plain", "candidates.1.variant: a teacher of kind service has no variants"),
        ("candidates.1.temperature", 1.0, "candidates.1.temperature: a teacher of kind service has none to set"),
        ("candidates.1.samples", 2, "candidates.1.samples"),
        ("verifier.teacher", "judge", "verifier.temperature"),
        ("verifier", {"teacher": "judge"}, "verifier.teacher: a service only decomposes and judges"),
        ("mix", {"hard": 0.5}, "mix: a share of hard rows needs a classifier"),
        ("mix", {"hard": 0.5, "classifier": "judge"}, "mix.classifier: a service"),
        ("seed", -1, "seed"),
        ("candidats", [], "candidats"),
    ],
)
def test_an_error_names_the_field(path: str, value: Any, told: str) -> None:
    with pytest.raises(ColdStartError) as error:
        parse_config("file.yaml", changed(path, value))
    assert str(error.value).startswith(f"file.yaml: {told}")
    assert "\n" not in str(error.value)


def test_noise_needs_every_category() -> None:
    noise = {"flip": {"image_quality": 0.1}, "miss_magnitude": 0, "score_bias": 0, "score_spread": 0}
    values = changed("teachers.judge", {"kind": "shapes-oracle", "noise": noise})
    with pytest.raises(
        ColdStartError, match=r"teachers\.judge\.shapes-oracle\.noise: .*missing: instruction_following"
    ):
        parse_config("x", values)


@pytest.mark.parametrize("text", ["a: [", "- 1", "", "7"])
def test_a_file_that_is_no_configuration_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "teachers.yaml"
    path.write_text(text)
    with pytest.raises(ColdStartError) as error:
        load_config(str(path))
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_a_name_that_is_none_lists_those_that_ship() -> None:
    with pytest.raises(ColdStartError, match="no teachers 'loud': not noisy"):
        load_config("loud")


@pytest.mark.parametrize("name", [*config_names(), *map(str, EXAMPLES)])
def test_what_ships_can_be_used(name: str) -> None:
    assert load_config(name).verifier is not None


def test_there_is_an_example() -> None:
    assert EXAMPLES
    assert all(isinstance(yaml.safe_load(path.read_text()), dict) for path in EXAMPLES)
