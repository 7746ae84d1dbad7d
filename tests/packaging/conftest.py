"""One wheel for all tests of packaging."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.packaging.building import build_wheel


@pytest.fixture(scope="session")
def wheel_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def wheel(wheel_file: Path) -> zipfile.Path:
    return zipfile.Path(wheel_file)
