"""deploy/compose.yaml: the Compose specification's schema, and that its parts fit each other and their surroundings."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.backoff
import redis.retry
import yaml

from edit_rrm_service.settings import Settings
from tests.deploy.chart import CHART, FETCH, ROOT, tool
from tests.fakes.redis_server import executable
from tests.fakes.service_process import free_port

DEPLOY = ROOT / "deploy"
FILE = DEPLOY / "compose.yaml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SERVERS = {"server-cpu": "cpu", "server-gpu": "gpu"}


def valid(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    checker = tool("check-jsonschema")
    if checker is None:
        pytest.skip(f"check-jsonschema is not there; {FETCH}")
    path = folder / "compose.yaml"
    path.write_text(text, encoding="utf-8")
    command = [checker, "--builtin-schema", "vendor.compose-spec", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.deploy
def test_it_is_what_the_compose_specification_says(tmp_path: Path) -> None:
    result = valid(FILE.read_text(encoding="utf-8"), tmp_path)
    assert result.returncode == 0, result.stdout
    typo = FILE.read_text(encoding="utf-8").replace("stop_grace_period", "stop_grace_periods")
    assert "stop_grace_periods" in valid(typo, tmp_path).stdout


@pytest.mark.deploy
def test_docker_reads_it(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker compose is not installed")
    for profile in SERVERS.values():
        command = [docker, "compose", f"--file={FILE}", f"--profile={profile}", "config", "--quiet"]
        result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined_and_watched(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["user"].split(":")[0]) > 0
    assert service["healthcheck"]["test"]
    assert service["restart"] == "unless-stopped"
    assert service["deploy"]["resources"]["limits"]["memory"]
    _, _, tag = service["image"].rpartition(":")
    assert re.match(r"v?\d+\.\d+\.\d+", tag), f"{service['image']} has no full version"


def test_a_profile_starts_one_server_by_the_name_that_prometheus_asks_for() -> None:
    assert {name: SERVICES[name]["profiles"] for name in SERVICES if "profiles" in SERVICES[name]} == {
        name: [profile] for name, profile in SERVERS.items()
    }
    prometheus = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    job = next(job for job in prometheus["scrape_configs"] if job["job_name"] == "edit-rrm")
    [asked] = job["dns_sd_configs"]
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert set(re.findall(r"EDIT_RRM_PROBE_PORT=(\d+)", dockerfile)) == {str(asked["port"])}
    for name in SERVERS:
        assert SERVICES[name]["networks"]["default"]["aliases"] == asked["names"]
        assert "default" in SERVICES["prometheus"].get("networks", ["default"])


def test_what_is_mounted_is_there() -> None:
    volumes = [each for service in SERVICES.values() for each in service.get("volumes", []) if isinstance(each, str)]
    named = [each.split(":")[0] for each in volumes if not each.startswith("./")]
    assert sorted(named) == sorted(COMPOSE["volumes"])
    files = [each.split(":") for each in volumes if each.startswith("./")]
    assert len(files) == 4
    for source, _, mode in files:
        assert (DEPLOY / source).exists(), source
        assert mode == "ro"


def test_grafana_finds_its_data_source_and_dashboards() -> None:
    mounts = dict(each.split(":")[:2] for each in SERVICES["grafana"]["volumes"])
    provisioning = DEPLOY / "grafana" / "provisioning"
    assert mounts["./grafana/provisioning"] == "/etc/grafana/provisioning"
    boards = yaml.safe_load((provisioning / "dashboards" / "edit-rrm.yaml").read_text(encoding="utf-8"))
    assert mounts["./grafana/dashboards"] == boards["providers"][0]["options"]["path"]
    sources = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text(encoding="utf-8"))
    assert sources["datasources"][0]["url"] == "http://prometheus:9090"
    assert "prometheus" in SERVICES["grafana"]["depends_on"]


def test_prometheus_finds_its_rules() -> None:
    mounts = dict(each.split(":")[:2] for each in SERVICES["prometheus"]["volumes"])
    file = mounts["./prometheus/prometheus.yml"]
    assert f"--config.file={file}" in SERVICES["prometheus"]["command"]
    [rules] = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))["rule_files"]
    assert mounts["./prometheus/rules"] == str((Path(file).parent / rules).parent)
    assert f"--storage.tsdb.path={mounts['prometheus']}" in SERVICES["prometheus"]["command"]


def test_secrets_are_files_and_stand_nowhere_else() -> None:
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", [])}
    assert used == set(COMPOSE["secrets"])
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": f"./secrets/{name}"}
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {"deploy/secrets/", "deploy/models/", "deploy/.env"} <= set(ignored)
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            assert not re.search("PASSWORD|TOKEN|SECRET|KEY", name) or str(value).startswith("/run/secrets/"), name
        words = " ".join([*service.get("command", []), *service["healthcheck"]["test"]])
        assert "requirepass" not in words or "cat /run/secrets/redis-password" in words


def test_settings_are_the_services_own() -> None:
    known = {f"EDIT_RRM_{name.upper()}" for name in Settings.model_fields}
    compose_only = {"EDIT_RRM_ADDRESS", "EDIT_RRM_GPUS", "EDIT_RRM_MODELS", "EDIT_RRM_REPOSITORY"}
    text = FILE.read_text(encoding="utf-8")
    assert set(re.findall(r"EDIT_RRM_[A-Z_]+", text)) <= known | compose_only
    page = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{(\w+)", text)) == compose_only
    for name in compose_only:
        assert f"| `{name}` |" in page


def test_a_server_is_told_to_stop_as_long_before_as_it_needs() -> None:
    fields = Settings.model_fields
    needed = (fields["drain_delay_ms"].default + fields["drain_timeout_ms"].default) / 1_000
    for name in SERVERS:
        assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) >= needed + 20


def test_redis_is_the_charts() -> None:
    image = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))["redis"]["image"]
    wanted = f"{image['registry']}/{image['repository']}:{image['tag'].partition('-')[0]}."
    assert SERVICES["redis"]["image"].startswith(wanted)
    assert SERVICES["redis"]["networks"] == ["cache"]
    assert COMPOSE["networks"]["cache"] == {"internal": True}


def test_only_this_machine_reaches_ports_unless_it_is_told() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(ports) == {*SERVERS, "prometheus", "grafana"}
    for listed in ports.values():
        for port in listed:
            assert port.startswith(("127.0.0.1:", "${EDIT_RRM_ADDRESS:-127.0.0.1}:"))


def test_its_redis_asks_for_the_password(tmp_path: Path) -> None:
    """The command of the Compose file, with a real server in the place of the image's."""
    (tmp_path / "redis-password").write_text("0123abcd")
    (tmp_path / "valkey-server").symlink_to(executable())
    port = free_port()
    [script] = SERVICES["redis"]["command"]
    script = re.sub(r"/run/secrets|/tmp\b", str(tmp_path), script.replace("$$", "$"))
    script = script.rstrip() + f" --port {port} --bind 127.0.0.1 --dir {tmp_path}\n"
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    shell = SERVICES["redis"]["entrypoint"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*shell, script], env=environment, stdout=log, stderr=log)
    try:
        url = f"redis://:0123abcd@127.0.0.1:{port}/0"
        retry = redis.retry.Retry(redis.backoff.ConstantBackoff(0.1), 100)
        with redis.Redis.from_url(url, retry=retry) as client:
            assert client.ping()
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "allkeys-lru"}
        with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        assert (tmp_path / "redis.conf").stat().st_mode & 0o077 == 0
        assert "0123abcd" not in Path(f"/proc/{process.pid}/cmdline").read_text()
    finally:
        process.terminate()
        process.wait(timeout=30)


def test_a_servers_command_hands_on_the_password(tmp_path: Path) -> None:
    (tmp_path / "redis-password").write_text("0123abcd")
    told = tmp_path / "edit-rrm"
    told.write_text('#!/bin/sh\necho "$EDIT_RRM_REDIS_URL $*"\n')
    told.chmod(0o755)
    for name in SERVERS:
        [script] = SERVICES[name]["command"]
        script = script.replace("$$", "$").replace("/run/secrets", str(tmp_path))
        command = [*SERVICES[name]["entrypoint"], script]
        environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert result.stdout == "redis://:0123abcd@redis:6379/0 serve\n"
