"""`edit-rrm bench` against a real service over a scripted judge."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from edit_rrm_service.commands.bench_counters import between, read
from tests.cli.command import edit_rrm
from tests.client.fake_service import judgement, judging_service

SMALL = ("--groups", "3", "--size", "2", "--side", "32")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with judging_service(lambda _: judgement(8.5)) as url:
        yield url


def test_for_people(url: str) -> None:
    done = edit_rrm("bench", "--url", url, *SMALL, "--deadline", "60")
    assert done.returncode == 0, done.stderr
    for piece in ("rewards a second", "6 of 6 edits", "of use, a second", "p95", "in decode", "decompositions"):
        assert piece in done.stdout


def test_for_programs(url: str) -> None:
    done = edit_rrm("bench", "--url", url, *SMALL, "--burst", "3", "--principles", "2", "--mode", "probe", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["load"]["arrivals"] == "bursts"
    assert found["figures"]["outcomes"] == {"scored": 6}
    assert found["figures"]["rewards_per_s"] > 0.0
    assert set(found["service"]["stage_s"]) >= {"decode", "probe"}
    assert found["service"]["decompositions"] in (None, 0.0), "they were given"


def test_single_edits_beside_the_load(url: str) -> None:
    load = ("--groups", "40", "--size", "2", "--side", "32", "--in-flight", "1", "--interactive", "30")
    done = edit_rrm("bench", "--url", url, *load, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["interactive"]["scored"] == found["interactive"]["edits"] > 0
    assert found["interactive"]["latency_p99"] >= found["interactive"]["latency_p50"] > 0.0
    assert found["figures"]["scored"] == 80, "single edits are not among them"


def test_what_is_not_scored_is_said_and_fails_the_command() -> None:
    with judging_service(lambda _: "no judgement") as url:
        done = edit_rrm("bench", "--url", url, *SMALL, "--warmup", "0")
    assert done.returncode == 1
    assert "6 unparsable" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--mode", "guess"), "neither think nor probe"),
        (("--rate", "1", "--burst", "2"), "choose one of"),
        (("--rate", "0"), "greater than 0"),
        (("--url", "http://127.0.0.1:9", *SMALL), "127.0.0.1:9"),
    ],
)
def test_what_cannot_be_measured(arguments: tuple[str, ...], told: str) -> None:
    done = edit_rrm("bench", *arguments)
    assert done.returncode != 0
    assert told in done.stderr


def test_counters_are_differences() -> None:
    name = "edit_rrm_stage_duration_seconds"
    before = read(
        f'# TYPE {name} histogram\n{name}_count{{stage="decompose"}} 2\n{name}_sum{{stage="decompose"}} 1.5\n'
    )
    after = read(
        f'# TYPE {name} histogram\n{name}_count{{stage="decompose"}} 5\n{name}_sum{{stage="decompose"}} 4.0\n'
        "# TYPE process_cpu_seconds counter\nprocess_cpu_seconds_total 3\n"
        '# TYPE edit_rrm_admission_rejected counter\nedit_rrm_admission_rejected_total{reason="queue_full"} 4\n'
    )
    found = between(before, after)
    assert (found.decompositions, found.stage_s, found.cpu_s, found.refused) == (3.0, {"decompose": 2.5}, 3.0, 4.0)
    assert found.decompositions_cached is None
