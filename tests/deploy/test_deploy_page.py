"""docs/deploy.md: what it shows is run where it can be, and rendered where it needs a cluster."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.image.check import running
from deploy.image.engine import Podman
from edit_rrm_service.auth import load_keys
from edit_rrm_service.callers import CallerLimits
from tests.deploy.chart import APIS, FETCH, HELM, ROOT, helm, tool

PAGE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = BLOCK.findall(PAGE)
CONSOLE = [text for language, text in BLOCKS if language == "console"]
COMMANDS = [
    shlex.split(line, comments=True)
    for text in CONSOLE
    for line in text.replace("\\\n", " ").splitlines()
    if "$(" not in line and "|" not in line
]
"""Commands that another one's output is no part of."""
RENDERED = [words for words in COMMANDS if words[0] == "helm" and {"install", "upgrade"} & set(words)]
needs_helm = pytest.mark.skipif(HELM is None, reason=f"Helm is neither in build/tools nor in the PATH; {FETCH}")


def files(folder: Path) -> None:
    """The page's files of values, which name themselves in their first line."""
    for language, text in BLOCKS:
        if language == "yaml":
            name = text.splitlines()[0].removeprefix("# ")
            (folder / name).write_text(text, encoding="utf-8")


def objects(words: list[str], folder: Path) -> list[dict[str, Any]]:
    """What a command of the page would install."""
    files(folder)
    paths = [str(folder / word) if (folder / word).is_file() else str(ROOT / word) for word in words]
    given = [path if "/" in word or word.endswith(".yaml") else word for word, path in zip(words, paths, strict=True)]
    apis = [flag for api in APIS for flag in ("--api-versions", api)]
    rest = [word for word in given[1:] if word not in ("install", "upgrade", "--install")]
    result = helm("template", *rest, "--kube-version=1.35.0", *apis)
    assert result.returncode == 0, result.stderr
    return [each for each in yaml.safe_load_all(result.stdout) if each]


@pytest.mark.deploy
@needs_helm
@pytest.mark.parametrize("words", RENDERED, ids=" ".join)
def test_what_is_installed_can_be_rendered_and_is_valid(words: list[str], tmp_path: Path) -> None:
    found = objects(words, tmp_path)
    assert "Deployment" in {each["kind"] for each in found}
    validator = tool("kubernetes-validate")
    if validator is not None:
        own = [each for each in found if not any(api.split("/")[0] in each["apiVersion"] for api in APIS)]
        path = tmp_path / "rendered.yaml"
        path.write_text(yaml.safe_dump_all(own), encoding="utf-8")
        command = [validator, "--strict", "--kubernetes-version", "1.35.0", str(path)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.deploy
@needs_helm
def test_the_page_shows_every_way_to_run_it(tmp_path: Path) -> None:
    assert len(RENDERED) == 8
    kinds = [{each["kind"] for each in objects(words, tmp_path)} for words in RENDERED]
    assert any("ScaledObject" in each for each in kinds)
    assert any("HorizontalPodAutoscaler" in each for each in kinds)
    assert any("PrometheusRule" in each for each in kinds)
    images = {
        container["image"]
        for words in RENDERED
        for each in objects(words, tmp_path)
        if each["kind"] == "Deployment" and each["metadata"]["name"].endswith("-edit-rrm")
        for container in each["spec"]["template"]["spec"]["containers"]
    }
    pushed = {words[2] for words in COMMANDS if words[:2] == ["docker", "push"]}
    assert pushed <= images


def test_the_names_it_uses_are_those_that_the_chart_makes(tmp_path: Path) -> None:
    if HELM is None:
        pytest.skip(FETCH)
    first = next(words for words in RENDERED if "first.yaml" in words)
    names = {(each["kind"].lower(), each["metadata"]["name"]) for each in objects(first, tmp_path)}
    for kind, name in set(re.findall(r"\b(deployment)/([\w-]+)", PAGE)):
        assert (kind, name) in names
    [secret] = [words for words in COMMANDS if "edit-rrm-test-key" in words]
    assert "--from-file=api-key=trainer-a.key" in secret
    assert ("service", "judge-edit-rrm") in names
    assert "http://judge-edit-rrm.judging:8000" in PAGE


def lets_in(keys: Path, key: Path) -> str | None:
    """Whom the service takes the holder of a key for."""
    caller = load_keys([], keys, CallerLimits()).caller(f"Bearer {key.read_text(encoding='utf-8')}")
    return None if caller is None else caller.name


@pytest.mark.skipif(shutil.which("openssl") is None, reason="this machine has no openssl")
def test_keys_are_made_and_rotated_as_it_says(tmp_path: Path) -> None:
    made, rotated, compose = (text for language, text in BLOCKS if language == "bash")
    subprocess.run(["bash", "-euc", made], cwd=tmp_path, check=True)
    assert lets_in(tmp_path / "keys.toml", tmp_path / "trainer-a.key") == "trainer-a"
    assert (tmp_path / "trainer-a.key").stat().st_mode & 0o077 == 0
    subprocess.run(["bash", "-euc", rotated], cwd=tmp_path, check=True)
    assert lets_in(tmp_path / "keys.toml", tmp_path / "trainer-a.key") == "trainer-a"
    assert lets_in(tmp_path / "keys.toml", tmp_path / "trainer-a-2.key") == "trainer-a-2"

    subprocess.run(["bash", "-euc", compose], cwd=tmp_path, check=True)
    secrets = tmp_path / "deploy" / "secrets"
    assert secrets.stat().st_mode & 0o077 == 0
    assert lets_in(secrets / "keys.toml", secrets / "trainer-a.key") == "trainer-a"
    wanted = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))["secrets"]
    for name in wanted:
        assert (secrets / name).stat().st_mode & 0o777 == 0o444


def test_its_compose_commands_name_profiles_and_services_that_are_there() -> None:
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
    profiles = {profile for service in compose["services"].values() for profile in service.get("profiles", [])}
    assert set(re.findall(r"--profile (\w+)", PAGE)) == profiles
    for name in re.findall(r"restart ([\w-]+)`", PAGE):
        assert name in compose["services"]


def test_one_container_is_run_as_the_image_is_tried(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    podman = tmp_path / "podman"
    podman.write_text(f'#!/bin/sh\necho "$@" >> {asked}\n')
    podman.chmod(0o755)
    with running(Podman([str(podman)], {}), "image"):
        pass
    tried = asked.read_text().splitlines()[0]
    runs = [words for words in COMMANDS if words[:2] == ["docker", "run"]]
    runs += [shlex.split(text) for text in re.findall(r"^docker run .*?(?<!\\)$", PAGE, re.DOTALL | re.MULTILINE)]
    assert len(runs) >= 2
    for words in runs:
        for flag, value in (("--read-only", ""), ("--cap-drop", "all"), ("--security-opt", "no-new-privileges")):
            assert flag in words
            assert (f"{flag}={value}" if value else flag) in tried
            assert not value or words[words.index(flag) + 1] == value
        assert any(word.startswith("/tmp:") for word in words)


def test_alerts_it_names_have_sections() -> None:
    runbook = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    for anchor in re.findall(r"runbook\.md#(\w+)", PAGE):
        assert anchor in {title.lower() for title in re.findall(r"^## (\w+)", runbook, re.MULTILINE)}


def test_panels_it_points_at_are_there() -> None:
    table = PAGE.partition("### Reading the dashboards")[2].partition("Alerts name")[0]
    for line in table.splitlines():
        if found := re.match(r"\| \[[\w ]+\]\(results/dashboards/([\w-]+)\.svg\)", line):
            board = (ROOT / "deploy" / "grafana" / "dashboards" / f"{found[1]}.json").read_text(encoding="utf-8")
            for panel in re.findall(r"\*([^*]+)\*", line):
                assert f'"title": "{panel}"' in board, panel
