"""`--help` teaches: every command says what it does and shows a command line that works."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator

import pytest
import typer
from typer.testing import CliRunner

from edit_rrm_service.cli import app
from edit_rrm_training.cli import data_app, eval_app, plot_app, train_app
from tests.cli.command import edit_rrm

GROUPS = {"": app, "data": data_app, "train": train_app, "eval": eval_app, "plot": plot_app}


def commands() -> Iterator[tuple[str, str]]:
    for group, typer_app in GROUPS.items():
        for command in typer_app.registered_commands:
            assert command.callback is not None
            yield group, command.name or command.callback.__name__


def shown(group: str, name: str) -> str:
    result = CliRunner().invoke(GROUPS[group], [name, "--help"], terminal_width=80)
    assert result.exit_code == 0, result.output
    return result.output


def examples(text: str) -> list[list[str]]:
    """The command lines in a help text, with continued lines joined, as words."""
    lines = text.split("Options:")[0].replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if "edit-rrm " in line and not line.startswith("Usage")]


@pytest.mark.parametrize(("group", "name"), list(commands()))
def test_every_command_has_an_example_that_parses(group: str, name: str) -> None:
    text = shown(group, name)
    found = [words[words.index("edit-rrm") + 1 :] for words in examples(text)]
    full = [*group.split(), name]
    assert any(words[: len(full)] == full for words in found), text
    for words in found:
        owner = GROUPS.get(words[0], app)
        rest = words if owner is app else words[1:]
        group_command = typer.main.get_group(owner)
        command = group_command.commands[rest[0]]
        # Raises for an option that does not exist, or one that is missing.
        command.make_context(rest[0], rest[1:])


@pytest.mark.parametrize(("group", "name"), list(commands()))
def test_every_option_says_what_it_is(group: str, name: str) -> None:
    command = typer.main.get_group(GROUPS[group]).commands[name]
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{name} {parameter.opts}"


def test_the_training_commands_are_mounted() -> None:
    result = edit_rrm("--help")
    assert result.returncode == 0
    for command in ("serve", "score", "identity", "hash-key", "data", "train", "eval", "plot"):
        assert f"\n  {command}  " in result.stdout


def test_help_is_quick_because_it_imports_nothing_heavy() -> None:
    code = "import sys, edit_rrm_service.cli, edit_rrm_training.cli; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(result.stdout.split()) & {"torch", "transformers", "vllm", "fastapi", "httpx2", "numpy", "PIL"}
