"""Commands that the documents show are there, with every option: none is run, since many take hours or a cluster."""

from __future__ import annotations

import re
import shlex
from importlib.util import find_spec
from typing import Any

import pytest
import typer

from edit_rrm_service.cli import app
from edit_rrm_training import cli as training
from tests.docs.pages import OTHERS, PAGES, ROOT, blocks

_TARGET = re.compile(r"^([a-z-]+):", re.MULTILINE)
TARGETS = set(_TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))
LINES = [
    (block.page, line.strip())
    for block in blocks("console", "bash", pages=[*PAGES, *OTHERS])
    for line in block.text.replace("\\\n", " ").splitlines()
    if line.strip() and not line.strip().startswith("#")
]


def words(line: str) -> list[str]:
    return [word for word in shlex.split(line, comments=True) if not re.fullmatch(r"[A-Z_]+=\S*", word)]


def own(line: str) -> list[str] | None:
    """What follows `edit-rrm` in a line, whoever starts it."""
    try:
        found = words(line)
    except ValueError:  # quotes that go on in the next line: a script, and none of ours
        return None
    for place, word in enumerate(found[: found.index("|")] if "|" in found else found):
        if word in ("edit-rrm", ".venv/bin/edit-rrm", "$(which edit-rrm)"):
            return found[place + 1 :]
    return None


OWN = [(page, line) for page, line in LINES if own(line)]


@pytest.fixture(scope="module")
def command() -> Any:
    """All of `edit-rrm`: the service's commands, and those that the training adds when it starts."""
    group = typer.main.get_group(app)
    for name, part in (
        ("data", training.data_app),
        ("train", training.train_app),
        ("eval", training.eval_app),
        ("plot", training.plot_app),
    ):
        group.commands[name] = typer.main.get_group(part)
    for name, one in (("edit", training.edit_command), ("merge", training.merge_command)):
        single = typer.Typer()
        single.command(name)(one)
        group.commands[name] = typer.main.get_command(single)
    return group


def test_there_are_some() -> None:
    assert len(OWN) > 30


@pytest.mark.parametrize(("page", "line"), OWN)
def test_a_command_of_ours_is_there_with_its_options(page: str, line: str, command: Any) -> None:
    arguments = own(line)
    assert arguments is not None
    while hasattr(command, "commands"):
        name = arguments.pop(0)
        assert name in command.commands, f"{page}: no command {name!r}"
        command = command.commands[name]
    known = {option for one in command.params for option in (*one.opts, *one.secondary_opts)} | {"--help"}
    given = {word.partition("=")[0] for word in arguments if re.match(r"--?[a-z]", word)}
    assert given <= known, page


@pytest.mark.parametrize(
    ("page", "target"), [(page, line.split()[1]) for page, line in LINES if line.startswith("make ")]
)
def test_a_target_of_make_is_there(page: str, target: str) -> None:
    assert target in TARGETS, page


@pytest.mark.parametrize(
    ("page", "module"), [(page, name) for page, line in LINES for name in re.findall(r"python -m ([\w.]+)", line)]
)
def test_a_module_that_is_run_is_there(page: str, module: str) -> None:
    assert find_spec(module) is not None, page
