"""The guard for a CUDA torchvision beside a CPU torch, in processes of their own with stand-ins for both."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TORCH = """
CUDA, LOADS = {cuda!r}, {loads!r}
operators, loaded = set(), []

class version:
    cuda = CUDA

class library:
    class Library:
        def __init__(self, namespace, kind):
            self.namespace = namespace

        def define(self, schema):
            operators.add(self.namespace + "::" + schema.partition("(")[0])

        def __del__(self):
            operators.clear()

class ops:
    def load_library(path):
        loaded.append(str(path))
        if not LOADS:
            raise OSError("libcudart.so.12: cannot open shared object file")
        operators.update(("torchvision::nms", "torchvision::qnms"))
"""

# As the real one: its library where that loads, then fake kernels for operators that have to exist by now.
TORCHVISION = """
from pathlib import Path
import torch

guarded = sorted(torch.operators)
try:
    torch.ops.load_library(Path(__file__).parent / "_C.so")
except OSError:
    pass
for name in ("torchvision::nms", "torchvision::qnms"):
    if name not in torch.operators:
        raise RuntimeError(f"operator {name} does not exist")
"""

SOURCE = Path(__file__).parents[2] / "rrm"
REPORT = "import torchvision, torch; print(torchvision.guarded, len(torch.loaded))"
UNGUARDED = "import sys; sys.meta_path = [f for f in sys.meta_path if type(f).__name__ != 'TorchvisionGuard']; "


def stand_ins(folder: Path, *, cuda: str | None, loads: bool) -> dict[str, str]:
    """Write both packages; returns the environment that finds them first."""
    for name, source in (("torch", TORCH.format(cuda=cuda, loads=loads)), ("torchvision", TORCHVISION)):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(source)
    (folder / "torchvision" / "_C.so").touch()
    return {**os.environ, "PYTHONPATH": str(folder)}


def python(code: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60, check=False
    )


def printed(code: str, env: dict[str, str] | None = None) -> str:
    result = python(code, env)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout.strip()


def test_missing_operators_are_defined_before_torchvision_wants_them(tmp_path: Path) -> None:
    env = stand_ins(tmp_path, cuda=None, loads=False)
    unguarded = python(UNGUARDED + REPORT, env)
    assert "operator torchvision::nms does not exist" in unguarded.stderr, "the stand-in fails as the real one does"
    assert printed(REPORT, env) == "['torchvision::nms', 'torchvision::qnms'] 2"


def test_nothing_is_done_where_torch_has_cuda(tmp_path: Path) -> None:
    assert printed(REPORT, stand_ins(tmp_path, cuda="12.8", loads=True)) == "[] 1"


def test_a_cuda_installation_that_is_broken_is_not_papered_over(tmp_path: Path) -> None:
    result = python(REPORT, stand_ins(tmp_path, cuda="12.8", loads=False))
    assert "operator torchvision::nms does not exist" in result.stderr


def test_nothing_is_defined_where_the_library_loads(tmp_path: Path) -> None:
    env = stand_ins(tmp_path, cuda=None, loads=True)
    code = "import _edit_rrm_torchvision as guard; " + REPORT + "; print(guard._libraries)"
    assert printed(code, env).splitlines()[-1] == "[]"


def test_importing_it_again_defines_nothing_twice(tmp_path: Path) -> None:
    env = stand_ins(tmp_path, cuda=None, loads=False)
    code = f"{REPORT}; import sys; del sys.modules['torchvision']; {REPORT}; "
    code += "import _edit_rrm_torchvision as guard; print(len(guard._libraries))"
    assert printed(code, env).splitlines()[-1] == "1"


def test_it_costs_nothing_where_torchvision_is_not_imported() -> None:
    """Every process of the environment pays for it, so it imports next to nothing of its own."""
    code = "import sys; before = set(sys.modules); import _edit_rrm_torchvision as guard; guard.install(); "
    code += "import json; print(*sorted(set(sys.modules) - before))"
    # Without site-packages nothing else has been imported already.
    result = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
    )
    loaded = [name for name in result.stdout.split() if not name.startswith(("json", "_json"))]
    assert "_edit_rrm_torchvision" in loaded, result.stderr
    assert not {name.split(".")[0] for name in loaded} & {"torch", "torchvision", "pathlib", "numpy"}
    assert len([name for name in loaded if not name.startswith(("importlib", "_", "re", "enum"))]) < 15, loaded


def test_it_is_in_front_once_in_every_process() -> None:
    count = "sum(type(finder).__name__ == 'TorchvisionGuard' for finder in sys.meta_path)"
    assert printed(f"import sys; print({count})") == "1"
    again = f"import sys, _edit_rrm_torchvision as guard; guard.install(); print({count})"
    assert printed(again) == "1"


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_it_is_present_in_spawned_processes(method: str, tmp_path: Path) -> None:
    """vLLM's engine core runs in one."""
    env = stand_ins(tmp_path, cuda=None, loads=False)
    script = tmp_path / "spawn.py"
    script.write_text(
        "import multiprocessing\n"
        "def report():\n"
        f"    {REPORT}\n"
        'if __name__ == "__main__":\n'
        f"    process = multiprocessing.get_context({method!r}).Process(target=report)\n"
        "    process.start(); process.join()\n"
        "    raise SystemExit(process.exitcode)\n"
    )
    result = subprocess.run(
        [sys.executable, str(script)], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "['torchvision::nms', 'torchvision::qnms'] 2"
