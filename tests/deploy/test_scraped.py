"""A real Prometheus scrapes a service under a short load: every panel and every rule that is recorded has data."""

from __future__ import annotations

import io
import json
import math
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from PIL import Image

from deploy.grafana.__main__ import FOLDER
from deploy.prometheus import pin_baseline
from edit_rrm_service.auth import hash_key
from tests.deploy.series import ROOT, recorded, vllm
from tests.deploy.watched_service import FAINT, SLOW, UNREADABLE
from tests.fakes.redis_server import redis_server
from tests.fakes.service_process import ServiceProcess, free_port

PROMETHEUS = next(
    (found for found in (shutil.which(str(ROOT / "build/tools/prometheus")), shutil.which("prometheus")) if found), None
)
PATIENCE_S = 30.0
pytestmark = [
    pytest.mark.deploy,
    pytest.mark.slow,
    pytest.mark.skipif(
        PROMETHEUS is None,
        reason="prometheus is neither in build/tools nor on the PATH: python deploy/tools/fetch_monitoring.py",
    ),
    pytest.mark.skipif(vllm() is None, reason="vLLM, whose series panels show, is not installed"),
]


class Scraper:
    """A Prometheus of this test's own, with the repository's rules."""

    def __init__(self, folder: Path, target: str) -> None:
        rules = folder / "rules"
        rules.mkdir()
        for path in (ROOT / "deploy" / "prometheus" / "rules").glob("*.yaml"):
            text = path.read_text(encoding="utf-8").replace("interval: 30s", "interval: 1s")
            (rules / path.name).write_text(text, encoding="utf-8")
        self.baseline = rules / "baseline.yaml"
        job = {
            "job_name": "edit-rrm",
            "static_configs": [{"targets": [target], "labels": {"namespace": "tests"}}],
        }
        configuration = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules/*.yaml"],
            "scrape_configs": [job],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration), encoding="utf-8")
        self.loaded = math.nan
        """When the load had been seen (Unix, in seconds): panels are asked for then, however long the tests take."""
        self.url = f"http://127.0.0.1:{free_port()}"
        assert PROMETHEUS is not None
        command = [PROMETHEUS, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        with (folder / "prometheus.log").open("wb") as log:
            self.process = subprocess.Popen(
                [*command, f"--web.listen-address={self.url.removeprefix('http://')}", "--web.enable-lifecycle"],
                stdout=log,
                stderr=log,
            )

    def query(self, expression: str, at: float | None = None) -> list[dict[str, Any]]:
        """Series of an expression, now or at another time (Unix, in seconds)."""
        data = {"query": expression} | ({} if at is None else {"time": f"{at:.3f}"})
        reply = httpx2.post(f"{self.url}/api/v1/query", data=data, timeout=30.0).json()
        assert reply["status"] == "success", (expression, reply)
        found: list[dict[str, Any]] = reply["data"]["result"]
        return found

    def has_data(self, expression: str, at: float | None = None) -> bool:
        """Whether there is a series with a number."""
        return any(not math.isnan(float(one["value"][1])) for one in self.query(expression, at))

    def wait(self, expression: str) -> None:
        """Until there is data."""
        until = time.monotonic() + PATIENCE_S
        while not self.has_data(expression):
            assert time.monotonic() < until, expression
            time.sleep(0.3)


def png(red: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (red, 20, 20)).save(file, "PNG")
    return file.getvalue()


def post(url: str, reds: list[int], mode: str, instruction: str, **headers: str) -> int:
    """One group of the mode's run, with an edit that is no image beside those that are."""
    headers["Authorization"] = f"Bearer {mode}"
    files = [("source", ("source.png", png(3), "image/png"))]
    files += [("edited", (f"{red}.png", png(red), "image/png")) for red in reds]
    files.append(("edited", ("broken.png", b"no image", "image/png")))
    data = {"instruction": instruction, "mode": mode}
    return httpx2.post(f"{url}/v1/rewards", data=data, files=files, headers=headers, timeout=30.0).status_code


def load(url: str, turn: int) -> None:
    """Groups in both modes, repeated ones, late ones, and more at a time than a caller may have under way."""
    text = f"make it {turn}"
    for mode in ("think", "probe"):
        for _ in range(2):
            assert post(url, [25, 75, 125, 200], mode, text) == 200
        assert post(url, [25, 25], mode, text) == 200
    assert post(url, [UNREADABLE], "think", text) == 200
    assert post(url, [25, FAINT], "probe", text) == 200
    late = {"X-Deadline-Ms": "300"}
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda index: post(url, [SLOW], "think", f"{text}, {index}", **late), range(6)))
    assert 429 in found


@pytest.fixture(scope="module")
def scraper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraper]:
    """A Prometheus that has watched a service for some seconds, through the loss of its Redis."""
    folder = tmp_path_factory.mktemp("scraped")
    keys = folder / "keys.toml"
    keys.write_text("".join(f'[keys.run-{mode}]\nsha256 = "{hash_key(mode)}"\n' for mode in ("think", "probe")))
    with redis_server(folder) as redis:
        environment = {
            "EDIT_RRM_API_KEYS_FILE": str(keys),
            "EDIT_RRM_REDIS_URL": redis.url,
            "EDIT_RRM_KEY_MAX_CONCURRENT": "3",
            "EDIT_RRM_SENTINELS_EVERY_S": "2",
            "EDIT_RRM_DRAIN_DELAY_MS": "0",
        }
        service = ServiceProcess(["-m", "tests.deploy.watched_service"], folder / "service.log", environment)
        try:
            service.wait_ready()
            prometheus = Scraper(folder, service.url.removeprefix("http://"))
            try:
                watch(prometheus, service.url, redis.kill)
                yield prometheus
            finally:
                prometheus.process.kill()
                prometheus.process.wait()
        finally:
            service.process.kill()
            service.process.wait()


def watch(prometheus: Scraper, url: str, lose_redis: Any) -> None:
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            if httpx2.get(f"{prometheus.url}/-/ready", timeout=1.0).is_success:
                break
        except httpx2.TransportError:
            assert time.monotonic() < until
        time.sleep(0.1)
    load(url, 1)
    prometheus.wait('edit_rrm_outcomes_total{outcome="timed_out"} > 0')
    load(url, 2)
    lose_redis()
    load(url, 3)
    prometheus.wait("edit_rrm_redis_errors_total > 0")
    assert pin_baseline.main([prometheus.url, "--out", str(prometheus.baseline)]) == 0
    httpx2.post(f"{prometheus.url}/-/reload", timeout=10.0).raise_for_status()
    prometheus.wait("edit_rrm:sentinel_score:drift")
    load(url, 4)
    prometheus.wait('rate(edit_rrm_sentinel_rounds_total{verdict="ok"}[1m]) > 0')
    prometheus.wait("rate(edit_rrm_redis_errors_total[1m])")
    prometheus.loaded = time.time()


def panels() -> list[Any]:
    found = []
    for path in sorted(FOLDER.glob("*.json")):
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            found += [
                pytest.param(target["expr"], id=f"{path.stem}-{panel['title']}-{target['refId']}")
                for target in panel.get("targets", ())
            ]
    return found


@pytest.mark.parametrize("expression", panels())
def test_a_panel_has_data(scraper: Scraper, expression: str) -> None:
    chosen = re.sub(r"\$(namespace|model|caller)", ".*", expression).replace("$__rate_interval", "1m")
    assert scraper.has_data(chosen, scraper.loaded)
    assert not scraper.query(chosen.replace('namespace=~".*"', 'namespace="elsewhere"'), scraper.loaded)


@pytest.mark.parametrize("name", recorded())
def test_what_is_recorded_has_data(scraper: Scraper, name: str) -> None:
    scraper.wait(f"max_over_time({name}[1h])")


def test_runs_are_told_apart_by_their_keys_and_dead_groups_by_why(scraper: Scraper) -> None:
    dead = {
        (one["metric"]["caller"], one["metric"]["reason"]) for one in scraper.query("edit_rrm_dead_groups_total > 0")
    }
    assert dead == {
        ("run-think", "no_spread"),
        ("run-think", "none_scored"),
        ("run-probe", "no_spread"),
        ("run-probe", "one_scored"),
    }


def test_what_is_wrong_is_told_by_why(scraper: Scraper) -> None:
    assert scraper.has_data("edit_rrm_probes_below_floor_total > 0")
    wrong = scraper.query('edit_rrm_images_total{result!="ok"} > 0')
    assert {one["metric"]["result"] for one in wrong} == {"unknown_format"}
    on = "edit_rrm_sentinels_enabled == 1 and on (instance) edit_rrm_redis_configured == 1"
    assert scraper.has_data(on)


def test_every_rule_can_be_evaluated(scraper: Scraper) -> None:
    groups = httpx2.get(f"{scraper.url}/api/v1/rules", timeout=10.0).json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 50
    assert [(rule["name"], rule["lastError"]) for rule in rules if rule["health"] != "ok"] == []


def test_alerts_tell_the_lost_redis_from_a_sound_judge(scraper: Scraper) -> None:
    scraper.wait('ALERTS{alertname="EditRrmRedisDown"}')
    for name in ("SentinelOrderBroken", "JudgeDrift", "JudgeNotPinned", "MixedIdentities", "NoReadyReplica", "Absent"):
        assert not scraper.query(f'ALERTS{{alertname="EditRrm{name}"}}')
