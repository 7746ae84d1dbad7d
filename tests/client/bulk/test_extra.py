"""Without the extra, the error names it; and the client itself needs neither library."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(code: str, *missing: str) -> subprocess.CompletedProcess[str]:
    """Run code where modules cannot be imported."""
    halted = "".join(f"sys.modules[{name!r}] = None; " for name in missing)
    return subprocess.run([sys.executable, "-c", f"import sys; {halted}{code}"], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("missing", "module"), [("pyarrow", "edit_rrm_client.bulk.scoring"), ("ray", "edit_rrm_client.bulk.ray_data")]
)
def test_the_error_names_the_extra(missing: str, module: str) -> None:
    result = run(f"import {module}", missing)
    assert result.returncode == 1
    assert "pip install 'edit-rrm[bulk]'" in result.stderr.splitlines()[-1]


def test_only_scoring_on_ray_needs_ray() -> None:
    code = "import edit_rrm_client, edit_rrm_client.bulk.scoring"
    assert run(code, "ray").returncode == 0
    assert run("import edit_rrm_client, edit_rrm_client.adapters.batch", "ray", "pyarrow").returncode == 0
