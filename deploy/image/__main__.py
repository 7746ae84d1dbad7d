"""Builds the image that needs no GPU and tries it; builds the one for GPUs on a base that stands in for vLLM's.

`python -m deploy.image` builds the Dockerfile's target `cpu`, looks into it, runs it without network on a root that
nobody can write, has it judge known edits over HTTP, and stops it. Podman is the machine's, or is fetched from Debian;
bases that cannot be pulled are stood in for. The target `server` is built for real by whoever can pull its base:
see docs/deploy.md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

from deploy.image import bases, check
from deploy.image.engine import ROOT, STORE, ImageError, Podman, find, own_mounts, say
from deploy.image.pip_settings import lend

LOAD_SECONDS = 1200.0
"""Longest wait for the judge; a machine that is busy with other things takes minutes."""


def version() -> str:
    """The project's version, which the chart's appVersion repeats."""
    found = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert isinstance(found, str)
    return found


def torch_index() -> str:
    """The index of PyTorch's CPU builds, or nothing where it is out of reach: pip's settings have to do then."""
    wanted = bases.default("TORCH_INDEX")
    try:
        with urllib.request.urlopen(f"{wanted}/torch/", timeout=10):  # noqa: S310 - the Dockerfile's own
            return wanted
    except (urllib.error.URLError, TimeoutError):
        say(f"{wanted} is out of reach; PyTorch comes from where pip on this machine finds it")
        return ""


def labels(base: str) -> dict[str, str]:
    """What is said of an image that is built now, by the end of the OCI label's name."""
    git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607 - found by PATH
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    created = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return {
        "version": version(),
        "revision": git.stdout.strip() or "unknown",
        "created": created.isoformat(timespec="seconds"),
        "base.name": base,
        "licenses": "Apache-2.0",
        "title": "edit-rrm",
    }


def build(podman: Podman, target: str, tag: str, arguments: dict[str, str], said: dict[str, str]) -> None:
    """Build a target of the Dockerfile; its output is shown.

    Raises:
        ImageError: It does not build.
    """
    given = arguments | {name.upper(): said[name] for name in ("version", "revision", "created")}
    flags = [f"--build-arg={name}={value}" for name, value in given.items()]
    # Docker's format: OCI's has no health checks.
    command = ["build", "--network=host", "--format=docker", f"--target={target}", f"--tag={tag}", *flags]
    podman.must(*command, *lend(STORE), str(ROOT), quiet=False)


def confirm(title: str, wrong: list[str]) -> None:
    """Say that something is as it should be.

    Raises:
        ImageError: It is not.
    """
    if wrong:
        raise ImageError(f"{title}: {'; '.join(wrong)}")
    say(f"ok: {title}")


def try_cpu(podman: Podman, base: str, tag: str) -> None:
    """Build the target `cpu` and have it judge.

    Raises:
        ImageError: Something is not as it should be.
    """
    said = labels(base)
    begun = time.monotonic()
    build(podman, "cpu", tag, {"BASE": base, "TORCH_INDEX": torch_index()}, said)
    size = podman.inspect(tag)["Size"] / 1e6
    say(f"built {tag}: {size:,.0f} MB, in {time.monotonic() - begun:.0f} s")
    confirm("user, entry point, ports, health check, labels", check.describes_itself(podman, tag, said))
    confirm("no tools to build, no caches, nothing its user can change", check.has_nothing_spare(podman, tag))
    with check.running(podman, tag) as name:
        say(f"ok: ready {check.wait(podman, name, 'readyz', LOAD_SECONDS):.0f} s after its start, without network")
        confirm("no root, no capabilities, nothing to write to but /tmp", check.is_confined(podman, name))
        say(f"ok: judged over HTTP: {check.judges(podman, name)}")
        code = check.stop(podman, name)
        confirm("stopped in order", [f"exit code {code}"] if code else [])


def try_server(podman: Podman, python: str, tag: str) -> None:
    """Build the target `server` on a stand-in of vLLM's image, and start it as a gateway to nowhere.

    Raises:
        ImageError: Something is not as it should be.
    """
    base = bases.vllm_stand_in(podman, python)
    said = labels(base)
    build(podman, "server", tag, {"BASE": python, "VLLM_BASE": base}, said)
    confirm("user, entry point, ports, health check, labels", check.describes_itself(podman, tag, said))
    confirm("no caches, nothing its user can change", check.has_nothing_spare(podman, tag, compilers=True))
    title = "the target server starts, on a stand-in of vLLM's image, and says that its servers are not there"
    confirm(title, check.without_its_servers(podman, tag))


def main() -> int:
    """Build and try; 1 with a sentence where something is missing or wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", help="base of the target cpu [default: the Dockerfile's, or what stands in for it]")
    parser.add_argument("--target", choices=("cpu", "server"), action="append", help="only this one [default: both]")
    arguments = parser.parse_args()
    own_mounts()
    targets = arguments.target or ["cpu", "server"]
    Path(STORE).mkdir(parents=True, exist_ok=True)
    try:
        podman = find()
        base = arguments.base or bases.python_base(podman)
        if "cpu" in targets:
            try_cpu(podman, base, f"localhost/edit-rrm:{version()}-cpu")
        if "server" in targets:
            try_server(podman, base, "localhost/edit-rrm:server-on-stand-in")
    except ImageError as error:
        sys.stderr.write(f"make image: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
