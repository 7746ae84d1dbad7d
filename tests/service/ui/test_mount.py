"""The page on the application: what it needs, what it leaves behind, and what it tells nobody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import gradio as gr
import pytest
from pydantic import ValidationError

from edit_rrm_service.settings import Settings
from tests.fakes.engine import FakeEngine
from tests.service.running import png, running

HERE = Path(__file__).resolve()


def test_without_gradio_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['gradio'] = None\n"
        "from edit_rrm_service.cli import main\n"
        "sys.argv = ['edit-rrm', 'serve', '--ui', '--port', '0', '--engine', 'transformers']\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("edit-rrm: the page wants Gradio (")
    assert done.stderr.splitlines()[-1].endswith("install it: pip install 'edit-rrm[ui]'")


def test_without_the_page_gradio_is_not_imported() -> None:
    program = (
        "import sys\n"
        "from edit_rrm_service.app import create_app\n"
        "from edit_rrm_service.settings import Settings\n"
        "create_app(Settings())\n"
        "assert 'gradio' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_the_judge_may_still_come_from_a_hub() -> None:
    """The page is made in the process that loads the judge, and before it."""
    program = (
        "import os, sys\n"
        "from edit_rrm_service.app import create_app\n"
        "from edit_rrm_service.settings import Settings\n"
        "os.environ.pop('HF_HUB_OFFLINE', None)\n"
        "create_app(Settings(ui=True))\n"
        "assert 'HF_HUB_OFFLINE' not in os.environ\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=120)


async def test_files_are_gone_when_the_service_has_ended() -> None:
    async with running(FakeEngine(), ui=True) as client:
        reply = await client.post("/ui/gradio_api/upload", files={"files": ("a.png", png())})
        [path] = [Path(one) for one in reply.json()]
        assert path.read_bytes() == png()
        folder = next(parent for parent in path.parents if parent.name.startswith("edit-rrm-ui-"))
        # Nobody but the service itself gives it back, and nothing else of this machine.
        assert (await client.get(f"/ui/gradio_api/file={path}")).status_code == 200
        assert (await client.get(f"/ui/gradio_api/file={HERE}")).status_code == 403
    assert not folder.exists()


async def test_what_can_be_called_is_what_the_page_calls() -> None:
    async with running(FakeEngine(), ui=True) as client:
        info = (await client.get("/ui/gradio_api/info")).json()
        assert info["named_endpoints"] == {}, "a page is no second API: that is /v1"
        assert (await client.get("/ui/docs")).status_code == 404
        assert (await client.get("/openapi.json")).json()["paths"].keys().isdisjoint({"/ui", "/ui/"})
        page = (await client.get("/ui/")).text
    assert "fonts.googleapis.com" not in page
    config = page.partition("window.gradio_config = ")[2]
    assert '"analytics_enabled":false' in config.replace(" ", "").lower()


@pytest.mark.parametrize("value", ["judge-1:8000", "http://a, ftp://b", "file:///etc/passwd"])
def test_other_services_are_addresses(value: str) -> None:
    with pytest.raises(ValidationError, match="is no address of a service, such as http://other-judge:8000"):
        Settings(ui_judges=value)  # type: ignore[arg-type]  # as the environment has it
    assert Settings(ui_judges="http://a:1, https://b").ui_judges == ("http://a:1", "https://b")  # type: ignore[arg-type]  # likewise


def test_the_version_of_gradio_is_the_one_that_was_looked_at() -> None:
    """Its pages and routes change between minor versions; after an upgrade look at the page, and at these tests."""
    assert gr.__version__.startswith("6.31.")
