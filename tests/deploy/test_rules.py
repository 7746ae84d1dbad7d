"""Rules: every alert says what to do and has a case that fires it and one that does not; promtool runs them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.prometheus import pin_baseline
from edit_rrm.verdicts import Outcome
from tests.deploy.series import ROOT, RULES, groups_rules, recorded, unknown, vllm

PROMETHEUS = ROOT / "deploy" / "prometheus"
CASES = sorted((PROMETHEUS / "tests").glob("*.yaml"))
ALERTS = groups_rules(RULES / "alerts.yaml")
NAMES = [alert["alert"] for alert in ALERTS]
PROMTOOL = next(
    (found for found in (shutil.which(str(ROOT / "build/tools/promtool")), shutil.which("promtool")) if found), None
)
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None,
    reason="promtool is neither in build/tools nor on the PATH: python deploy/tools/fetch_monitoring.py",
)


def promtool(*arguments: str | Path) -> str:
    assert PROMTOOL is not None
    result = subprocess.run([PROMTOOL, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def cases() -> dict[str, list[Mapping[str, Any]]]:
    """Cases by the alert they are about."""
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for path in CASES:
        for case in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]:
            for one in case["alert_rule_test"]:
                found[one["alertname"]].append(case | {"expected": one["exp_alerts"]})
    return found


def test_alerts_are_named_once_and_for_the_service() -> None:
    assert len(set(NAMES)) == len(NAMES) > 15
    assert all(re.fullmatch(r"EditRrm[A-Z]\w+", name) for name in NAMES)


@pytest.mark.parametrize("alert", ALERTS, ids=NAMES)
def test_an_alert_says_how_bad_it_is_what_it_is_and_where_to_read_on(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert all(alert["annotations"].values())
    assert not re.search(r"\$value", alert["annotations"]["summary"]), "a summary that changes breaks grouping"


@pytest.mark.parametrize("alert", ALERTS, ids=NAMES)
def test_an_alerts_runbook_is_a_section_that_exists(alert: dict[str, Any]) -> None:
    document, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    sections = (ROOT / document).read_text(encoding="utf-8").split("\n## ")[1:]
    texts = {title.lower(): text for title, _, text in (section.partition("\n") for section in sections)}
    assert anchor in texts
    assert all(part in texts[anchor] for part in ("**Means.**", "**Look.**", "**Do.**"))


def test_the_runbook_has_no_section_of_an_alert_that_is_not_there() -> None:
    text = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\w+)$", text, re.MULTILINE) == NAMES
    assert set(re.findall(r"\]\(#(\w+)\)", text)) <= {name.lower() for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_an_alert_has_a_case_that_fires_it_and_one_that_does_not(name: str) -> None:
    found = cases()[name]
    assert any(case["expected"] for case in found)
    assert any(not case["expected"] for case in found)
    for case in found:
        assert case["name"].startswith(f"{name} {'fires' if case['expected'] else 'stays quiet'}: ")


def test_no_case_is_of_an_alert_that_is_not_there() -> None:
    assert set(cases()) <= set(NAMES)


def test_vllms_series_are_known_where_it_is_installed() -> None:
    names = vllm()
    if names is None:
        pytest.skip("vLLM is not installed: expressions over its series are not checked")
    assert "vllm:kv_cache_usage_perc" in names
    assert "reason" in names["vllm:num_requests_waiting_by_reason"]


@pytest.mark.parametrize(
    "path", sorted(RULES.glob("*.yaml")) + CASES, ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_a_file_asks_only_for_series_and_labels_that_exist(path: Path) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    if "tests" in content:
        asked = [one["series"] for case in content["tests"] for one in case["input_series"]]
    else:
        asked = [rule["expr"] for rule in groups_rules(path)]
    assert {expression: found for expression in asked if (found := unknown(expression))} == {}


def test_outcomes_in_rules_are_outcomes() -> None:
    listed = [
        outcome
        for path in RULES.glob("*.yaml")
        for values in re.findall(r'outcome[=!~]+"([^"]*)"', path.read_text(encoding="utf-8"))
        for outcome in values.split("|")
    ]
    assert listed
    assert set(listed) <= set(Outcome)


def test_what_is_recorded_is_used() -> None:
    used = "".join(alert["expr"] for alert in ALERTS)
    boards = "".join(path.read_text("utf-8") for path in (ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
    assert [name for name in recorded() if name not in used + boards] == []


def samples(*scores: float, identity: str = "accepted") -> list[tuple[Mapping[str, str], float]]:
    labels = {"identity": identity, "mode": "probe", "sentinel": "good"}
    return [({**labels, "instance": f"10.0.0.{index}:8000"}, score) for index, score in enumerate(scores)]


def test_a_baseline_is_one_rule_a_sentinel_whatever_the_replicas() -> None:
    [group] = yaml.safe_load(pin_baseline.baseline(samples(9.0, 9.01)))["groups"]
    assert group["rules"] == [
        {
            "record": "edit_rrm:sentinel_score:baseline",
            "expr": "vector(9.0000)",
            "labels": {"identity": "accepted", "mode": "probe", "sentinel": "good"},
        }
    ]


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ([], "no scores of sentinels"),
        (samples(float("nan")), r"good \(probe\) was not scored"),
        (samples(9.0, 4.0), "replicas disagree"),
    ],
)
def test_what_is_no_baseline_is_not_pinned(found: list[tuple[Mapping[str, str], float]], why: str) -> None:
    with pytest.raises(pin_baseline.BaselineError, match=why):
        pin_baseline.baseline(found)


def test_pinning_writes_nothing_where_no_prometheus_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "baseline.yaml"
    assert pin_baseline.main(["http://127.0.0.1:9", "--out", str(out)]) == 1
    assert "nothing pinned: " in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.deploy
@needs_promtool
def test_promtool_accepts_the_configuration_and_the_rules() -> None:
    said = promtool("check", "config", PROMETHEUS / "prometheus.yml")
    assert f"{len(ALERTS)} rules found" in said


@pytest.mark.deploy
@needs_promtool
def test_promtool_accepts_a_baseline_that_was_pinned(tmp_path: Path) -> None:
    path = tmp_path / "baseline.yaml"
    path.write_text(pin_baseline.baseline(samples(9.0)), encoding="utf-8")
    assert "1 rules found" in promtool("check", "rules", path)


@pytest.mark.deploy
@needs_promtool
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_promtool_fires_what_should_fire_and_nothing_else(path: Path) -> None:
    promtool("test", "rules", path)
