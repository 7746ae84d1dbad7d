"""A user's file under `mypy --strict`, against the installed wheel and not this tree."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

GOOD = """
import asyncio
from typing import Any, assert_type

import numpy as np
import numpy.typing as npt
from edit_rrm.verdicts import Mode, Outcome, Reward
from edit_rrm_client import (
    AsyncRewardClient, FailureBudget, FailurePolicy, Group, GroupResult, RewardClient, RewardClientError, UnscoredError,
    group_advantages,
)
from edit_rrm_client.adapters.flow_grpo import FlowGrpoReward
from edit_rrm_client.adapters.trl import TrlReward
from PIL import Image

client = RewardClient(["http://a:8000", "http://b:8000"], expect_identity="first", priority="training")
image = Image.new("RGB", (8, 8))
group = client.rewards("make it blue", image, [image, b"...", "three.png", np.zeros((8, 8, 3), np.uint8)])
assert_type(group, GroupResult)
assert_type(group.rewards, npt.NDArray[np.float32])
assert_type(group.mask, npt.NDArray[np.bool_])
assert_type(group.outcomes, tuple[Outcome, ...])
assert_type(client.reward("make it blue", image, image, mode=Mode.PROBE), Reward)
assert_type(client.score_groups(Group("x", image, [image]) for _ in range(3)), list[GroupResult])
advantages, counts = group_advantages(group.rewards, group.mask, FailurePolicy(min_valid=4))
FailureBudget().observe([group])


async def main() -> Reward:
    async with AsyncRewardClient("http://a:8000") as asking:
        try:
            return await asking.reward("make it blue", image, image)
        except UnscoredError as error:
            assert_type(error.result.mask, npt.NDArray[np.bool_])
            raise
        except RewardClientError as error:
            assert_type(error.retry_after, float | None)
            raise


asyncio.run(main())
FlowGrpoReward(client)
TrlReward(client, edited=lambda completions, columns: [image for _ in completions])
"""

WRONG = """
from edit_rrm_client import RewardClient

client = RewardClient("http://a:8000", priority="urgent")
score: str = client.reward("make it blue", "a.png", "b.png").score
client.rewards("make it blue", "a.png", ["b.png"], on_error="zero")
client.rewards("make it blue", "a.png", 5)
"""


@pytest.fixture(scope="module")
def python(wheel_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has the wheel installed, beside this environment's other packages."""
    folder = tmp_path_factory.mktemp("user")
    venv.create(folder, with_pip=False)
    (installed,) = folder.glob("lib/python*/site-packages")
    zipfile.ZipFile(wheel_file).extractall(installed)
    # Its directory alone: the `.pth` files there, which lead to this tree, are not read.
    (installed / "others.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return folder / "bin" / "python"


def checked(python: Path, code: str, folder: Path) -> list[str]:
    """What mypy has to say about a user's file."""
    (folder / "user.py").write_text(code, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python), "--no-error-summary"]
    command += ["--config-file", "", "--cache-dir", str(folder / "cache"), "user.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout.splitlines()


def test_a_users_file_is_clean(python: Path, tmp_path: Path) -> None:
    assert checked(python, GOOD, tmp_path) == []


def test_a_wrong_one_is_found_out(python: Path, tmp_path: Path) -> None:
    lines = checked(python, WRONG, tmp_path)
    # The types are seen, so that what is wrong is: nothing is Any.
    assert [line.split(":")[1] for line in lines if "error:" in line] == ["4", "5", "6", "7"]


def test_the_client_imports_nothing_heavy(python: Path) -> None:
    code = "import sys, edit_rrm_client; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    run = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "transformers", "fastapi", "vllm", "pyarrow", "ray", "pandas", "redis", "datasets", "trl"}
    assert heavy.isdisjoint(run.stdout.split())
    where = subprocess.run(
        [python, "-c", "import edit_rrm_client; print(edit_rrm_client.__file__)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert str(python.parents[1]) in where
