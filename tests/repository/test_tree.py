"""Rules of the house that a machine can hold."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_LINES = 500
MAX_WEIGHTS = 16 * 2**20
WEIGHTS = {".safetensors", ".bin", ".pt", ".pth", ".gguf", ".onnx"}
PUBLIC_HOSTS = {"pypi.org", "files.pythonhosted.org", "download.pytorch.org"}
URL_HOST = re.compile(r"https?://(?:[^/@\s]*@)?([\w.-]+)")
INDEX_OPTION = re.compile(r"index[-_]url|find[-_]links|trusted[-_]host", re.IGNORECASE)
MACHINE_PATH = re.compile(r"(?<![\w.$}-])/(?:work|root|tmp/nano)(?=[/\s\"'`]|$)")


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def tracked() -> list[Path]:
    return [path for name in git("ls-files", "-z").split("\0") if name and (path := ROOT / name).is_file()]


def texts() -> Iterator[tuple[str, str]]:
    for path in tracked():
        try:
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def test_the_import_contracts_hold() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    contracts = len(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"])
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"Contracts: {contracts} kept, 0 broken." in result.stdout


def test_no_python_file_is_long() -> None:
    lengths = {name: text.count("\n") for name, text in texts() if name.endswith(".py")}
    assert len(lengths) > 50
    assert not {name: length for name, length in lengths.items() if length > MAX_LINES}


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    this = str(Path(__file__).relative_to(ROOT))
    found = [
        f"{name}:{number}: {line.strip()}"
        for name, text in texts()
        if name != this
        for number, line in enumerate(text.splitlines(), 1)
        if MACHINE_PATH.search(line)
    ]
    assert not found


def test_no_file_names_a_private_package_index() -> None:
    """Neither one that pip uses on this machine, nor one written into a requirement, a container or a script."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], cwd=ROOT, capture_output=True, text=True)
    private = set(URL_HOST.findall(listed.stdout)) - PUBLIC_HOSTS
    for name, text in texts():
        assert not [host for host in private if host in text], name
        for line in filter(INDEX_OPTION.search, text.splitlines()):
            assert set(URL_HOST.findall(line)) <= PUBLIC_HOSTS, f"{name}: {line}"


@pytest.mark.parametrize(
    "package", ["rrm/edit_rrm", "client/edit_rrm_client", "service/edit_rrm_service", "training/edit_rrm_training"]
)
def test_every_package_is_typed(package: str) -> None:
    assert (ROOT / package / "py.typed") in tracked()


def test_weights_in_the_repository_are_small() -> None:
    weights = [path for path in tracked() if path.suffix in WEIGHTS]
    assert max(path.stat().st_size for path in weights) <= MAX_WEIGHTS
    assert sum(path.stat().st_size for path in weights) <= 2 * MAX_WEIGHTS, "a clone is kept small, too"


def defined(tree: ast.Module) -> set[str]:
    """Names that a module binds at its top level."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update((alias.asname or alias.name).split(".")[0] for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def test_every_name_in_all_exists_and_is_listed_once() -> None:
    lists = 0
    for name, text in texts():
        if not name.endswith(".py"):
            continue
        tree = ast.parse(text)
        for node in tree.body:
            if isinstance(node, ast.Assign) and any(
                isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets
            ):
                listed = ast.literal_eval(node.value)
                assert set(listed) <= defined(tree), name
                assert len(set(listed)) == len(listed), name
                lists += 1
    assert lists >= 3


@pytest.mark.parametrize("package", ["edit_rrm", "edit_rrm.wire", "edit_rrm_client"])
def test_public_packages_export_what_they_list(package: str) -> None:
    module = __import__(package, fromlist=["__all__"])
    assert all(hasattr(module, name) for name in module.__all__)
