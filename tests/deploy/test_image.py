"""`make image` without building anything: what is lent to a build, what is asked of Podman, and what it finds wrong."""

from __future__ import annotations

import configparser
import json
from pathlib import Path
from typing import Any

import pytest

from deploy.image import __main__ as image
from deploy.image import bases, check, engine, inside
from deploy.image.engine import ImageError, Podman
from deploy.image.pip_settings import configuration, local_paths, settings

LISTED = """\
global.constraint='/etc/limits.txt'
global.find-links='/nowhere'
global.extra-index-url='file:///nowhere/simple https://pypi.org/simple'
:env:.find-links='{wheels}'
:env:.timeout='180'
"""


class Scripted(Podman):
    """A Podman that answers what a test says, and remembers what it was asked."""

    def __init__(self, folder: Path, answers: dict[str, str]) -> None:
        self.asked = folder / "asked"
        cases = "".join(
            f"  {command}) printf %s '{answer}' ;;\n"
            if not answer.startswith("!")
            else f"  {command}) {answer[1:]} ;;\n"
            for command, answer in answers.items()
        )
        script = folder / "podman"
        script.write_text(f'#!/bin/sh\necho "$@" >> {self.asked}\ncase "$1" in\n{cases}esac\n', encoding="utf-8")
        script.chmod(0o755)
        super().__init__([str(script)], {"PATH": "/usr/bin:/bin"})

    @property
    def commands(self) -> list[str]:
        return self.asked.read_text(encoding="utf-8").splitlines()


def described(**changes: Any) -> str:
    config = {
        "User": "10001:10001",
        "Entrypoint": ["edit-rrm"],
        "Cmd": ["serve"],
        "StopSignal": "SIGTERM",
        "ExposedPorts": {"8000/tcp": {}, "8001/tcp": {}},
        "Labels": {"org.opencontainers.image.version": "1.0"},
    }
    return json.dumps([{"Config": config | changes, "HealthCheck": {"Test": ["CMD", "true"]}}])


def test_pips_own_settings_are_lent_and_its_limits_are_not(tmp_path: Path) -> None:
    found = settings(LISTED.format(wheels=tmp_path))
    assert set(found) == {"find-links", "extra-index-url", "timeout"}
    assert found["find-links"] == str(tmp_path)
    assert local_paths(found) == [tmp_path]
    parser = configparser.RawConfigParser()
    parser.read_string(configuration(found))
    assert parser["global"]["extra-index-url"].split() == found["extra-index-url"].split()


def test_an_indexs_files_are_lent_with_its_pages(tmp_path: Path) -> None:
    pages = tmp_path / "index" / "simple"
    pages.mkdir(parents=True)
    assert local_paths({"extra-index-url": pages.as_uri()}) == [tmp_path / "index"]
    assert local_paths({"find-links": pages.as_uri(), "cert": "/no/such/file"}) == [pages]


def test_an_image_that_is_as_it_should_be(tmp_path: Path) -> None:
    podman = Scripted(tmp_path, {"image": described()})
    assert check.describes_itself(podman, "it", {"version": "1.0"}) == []


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"User": ""}, "User is '', not '10001:10001'"),
        ({"Entrypoint": ["vllm", "serve"]}, "Entrypoint is"),
        ({"ExposedPorts": {"8000/tcp": {}}}, "exposes"),
        ({"Labels": None}, "label org.opencontainers.image.version is None"),
    ],
)
def test_an_image_that_is_not(tmp_path: Path, changes: dict[str, Any], wrong: str) -> None:
    podman = Scripted(tmp_path, {"image": described(**changes)})
    [said] = check.describes_itself(podman, "it", {"version": "1.0"})
    assert wrong in said


def test_what_is_spare_is_found(tmp_path: Path) -> None:
    found = {"tools": ["gcc"], "caches": ["/var/cache/pip"], "pip": True, "changeable": ["/opt/edit-rrm/x"]}
    podman = Scripted(tmp_path, {"run": json.dumps(found)})
    assert len(check.has_nothing_spare(podman, "it")) == 4
    assert len(check.has_nothing_spare(podman, "it", compilers=True)) == 3
    clean = Scripted(tmp_path, {"run": json.dumps({name: [] for name in found})})
    assert check.has_nothing_spare(clean, "it") == []


def test_looking_around_finds_what_a_user_could_change(tmp_path: Path) -> None:
    (tmp_path / "open").touch()
    (tmp_path / "open").chmod(0o666)
    (tmp_path / "closed").touch()
    (tmp_path / "closed").chmod(0o644)
    (tmp_path / "link").symlink_to("closed")
    assert list(inside.changeable(tmp_path)) == [str(tmp_path / "open")]


def test_a_container_is_run_as_the_chart_runs_it_and_always_removed(tmp_path: Path) -> None:
    podman = Scripted(tmp_path, {"logs": "what the service said"})
    with (
        pytest.raises(ImageError, match="it broke\nwhat the service said"),
        check.running(podman, "it"),
    ):
        raise ImageError("it broke")
    started, logs, removed = podman.commands
    for flag in ("--network=none", "--read-only", "--cap-drop=all", "--security-opt=no-new-privileges"):
        assert flag in started
    assert logs.startswith("logs")
    assert removed.startswith("rm --force")


def test_a_gateway_to_nowhere_says_so(tmp_path: Path) -> None:
    sentence = "no server can be used: http://127.0.0.1:9/v1: ConnectError"
    podman = Scripted(tmp_path, {"run": f"!echo {sentence} >&2; exit 1"})
    assert check.without_its_servers(podman, "it") == []
    assert check.without_its_servers(Scripted(tmp_path, {"run": "!echo Traceback; exit 1"}), "it") == ["Traceback"]


def test_a_service_that_ends_is_not_waited_for(tmp_path: Path) -> None:
    ended = json.dumps([{"State": {"Running": False, "ExitCode": 3}}])
    podman = Scripted(tmp_path, {"exec": "!exit 1", "container": ended})
    with pytest.raises(ImageError, match="ended with exit code 3"):
        check.wait(podman, "it", "readyz", 30.0)


def test_a_base_is_pulled_where_it_can_be(tmp_path: Path) -> None:
    podman = Scripted(tmp_path, {"image": "!exit 1", "pull": ""})
    assert bases.python_base(podman) == bases.default("BASE")
    assert f"pull --quiet {bases.default('BASE')}" in podman.commands


def test_a_base_that_was_made_before_is_taken(tmp_path: Path) -> None:
    podman = Scripted(tmp_path, {"image": '![ "$3" = ' + bases.PYTHON_STAND_IN + " ]", "pull": "!exit 1"})
    assert bases.python_base(podman) == bases.PYTHON_STAND_IN


def test_bases_have_tags() -> None:
    for argument in ("BASE", "VLLM_BASE"):
        name, _, tag = bases.default(argument).rpartition(":")
        assert "/" in name
        assert tag[0].isdigit() or tag[0] == "v"


def test_a_command_that_fails_says_what_podman_said(tmp_path: Path) -> None:
    podman = Scripted(tmp_path, {"build": "!echo no space >&2; exit 1"})
    with pytest.raises(ImageError, match="podman build failed: no space"):
        podman.must("build")


def test_labels_say_what_was_built_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    said = image.labels("base")
    assert said["created"] == "1970-01-01T00:00:00+00:00"
    assert said["version"] == image.version()
    assert said["base.name"] == "base"


def test_limits_of_the_machine_are_kept(tmp_path: Path) -> None:
    home = tmp_path / "containers"
    (home / "usr" / "lib" / "x86_64-linux-gnu").mkdir(parents=True)
    command, environment = engine.unpacked(home, tmp_path / "store")
    assert f"--root={tmp_path / 'store' / 'storage'}" in command
    text = Path(environment["CONTAINERS_CONF"]).read_text(encoding="utf-8")
    assert "nofile=" in text
    assert json.loads((tmp_path / "store/home/.config/containers/policy.json").read_text(encoding="utf-8"))
