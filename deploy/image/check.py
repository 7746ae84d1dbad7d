"""Tries a built image: what it says of itself, what is in it, and whether it judges where nothing can be written."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.image.engine import ROOT, ImageError, Podman

USER = "10001:10001"
_TRIPLE = ROOT / "helm" / "edit-rrm" / "files" / "sentinel_triple.py"
"""Posts known edits and fails if the good one does not score highest; `helm test` runs it too."""

_CONFINED = (
    *("--network=none", "--read-only", "--read-only-tmpfs=false", "--tmpfs=/tmp:rw,size=2g,mode=1777"),
    *("--cap-drop=all", "--security-opt=no-new-privileges"),
)
"""As the chart runs it, and with no network at all."""
_INSIDE = Path(__file__).with_name("inside.py")


def describes_itself(podman: Podman, image: str, labels: dict[str, str]) -> list[str]:
    """What is wrong with an image's own description.

    Args:
        podman: Where the image is.
        image: Its name.
        labels: OCI labels that it must have, by the end of their names.
    """
    found = podman.inspect(image)
    settings: dict[str, Any] = found["Config"]
    wanted: dict[str, Any] = {"User": USER, "Entrypoint": ["edit-rrm"], "Cmd": ["serve"], "StopSignal": "SIGTERM"}
    wrong = [
        f"{name} is {settings.get(name)!r}, not {value!r}"
        for name, value in wanted.items()
        if settings.get(name) != value
    ]
    if set(settings.get("ExposedPorts", {})) != {"8000/tcp", "8001/tcp"}:
        wrong.append(f"it exposes {sorted(settings.get('ExposedPorts', {}))}")
    if not (found.get("HealthCheck") or found.get("Healthcheck") or settings.get("Healthcheck")):
        wrong.append("it has no health check")
    given: dict[str, str] = settings.get("Labels") or {}
    for name, value in labels.items():
        label = f"org.opencontainers.image.{name}"
        if given.get(label) != value:
            wrong.append(f"label {label} is {given.get(label)!r}, not {value!r}")
    return wrong


def has_nothing_spare(podman: Podman, image: str, *, compilers: bool = False) -> list[str]:
    """What is in an image that should not be: tools to build, caches, and files that its user can change.

    Args:
        podman: Where the image is.
        image: Its name.
        compilers: Whether tools are its base's own business.
    """
    run = ("run", "--rm", "--network=none", "--read-only", "--user=0", "--interactive", "--entrypoint=python")
    result = podman.run(*run, image, "-", given=_INSIDE.read_bytes(), timeout=600)
    if result.returncode:
        raise ImageError(f"python does not run in {image}: {result.stderr.strip()[-1000:]}")
    found = json.loads(result.stdout)
    wrong = [f"{name} is in it" for name in found["tools"] if not compilers]
    wrong += [f"there are files in {cache}" for cache in found["caches"]]
    wrong += [f"its user can change {path}" for path in found["changeable"]]
    if found["pip"]:
        wrong.append("pip is among the service's packages, or the build's pip.conf is in it")
    return wrong


@contextmanager
def running(podman: Podman, image: str) -> Iterator[str]:
    """A container of an image, confined; its name. What it printed is shown if this fails."""
    name = f"edit-rrm-check-{time.time_ns()}"
    podman.must("run", "--detach", f"--name={name}", *_CONFINED, image)
    try:
        yield name
    except ImageError as error:
        logs = podman.run("logs", "--tail=40", name)
        raise ImageError(f"{error}\n{logs.stdout}{logs.stderr}") from error
    finally:
        podman.run("rm", "--force", "--time=0", name)


def without_its_servers(podman: Podman, image: str) -> list[str]:
    """What is wrong with how an image starts as a gateway in front of a server that is not there: it should say so."""
    settings = ("--env=EDIT_RRM_ENGINE=openai", "--env=EDIT_RRM_BASE_URLS=http://127.0.0.1:9/v1")
    result = podman.run("run", "--rm", *_CONFINED, *settings, image, timeout=300)
    said = (result.stdout + result.stderr).strip()
    return [] if result.returncode == 1 and "no server can be used: http://127.0.0.1:9/v1" in said else [said[-2000:]]


def wait(podman: Podman, name: str, probe: str, seconds: float) -> float:
    """Wait until a probe of the container answers 200; returns the seconds that took.

    Raises:
        ImageError: It did not, or the container ended.
    """
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        if podman.run("exec", name, "python", "/opt/edit-rrm/healthcheck.py", probe, timeout=60).returncode == 0:
            return time.monotonic() - begun
        state = json.loads(podman.must("container", "inspect", name))[0]["State"]
        if not state["Running"]:
            raise ImageError(f"the service ended with exit code {state['ExitCode']}")
        time.sleep(1.0)
    raise ImageError(f"/{probe} did not answer 200 within {seconds:g} s")


def judges(podman: Podman, name: str) -> str:
    """Have the container judge known edits over HTTP; what came of it.

    Raises:
        ImageError: A good edit did not score highest, or was not scored.
    """
    command = ["exec", "--interactive", name, "python", "-", "http://127.0.0.1:8000"]
    result = podman.run(*command, given=_TRIPLE.read_bytes(), timeout=900)
    if result.returncode:
        raise ImageError(f"it does not judge: {(result.stdout + result.stderr).strip()[-1000:]}")
    return result.stdout.strip()


def is_confined(podman: Podman, name: str) -> list[str]:
    """What the container's processes could do and should not."""
    attempt = """
import os
if os.getuid() != 10001 or os.getgid() != 10001: print("runs as", os.getuid(), os.getgid())
for path in ("/x", "/opt/edit-rrm/x", "/var/tmp/x", "/run/x"):
    try: open(path, "w")
    except OSError: continue
    print("can write", path)
open("/tmp/x", "w").close()
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
if int(status["CapEff"], 16): print("has capabilities", status["CapEff"].strip())
"""
    result = podman.run("exec", name, "python", "-c", attempt, timeout=60)
    return [*result.stdout.splitlines(), *(["cannot write where it has to"] if result.returncode else [])]


def stop(podman: Podman, name: str) -> int:
    """Stop the container as an orchestrator does; the service's exit code."""
    podman.must("stop", "--time=150", name)
    code = json.loads(podman.must("container", "inspect", name))[0]["State"]["ExitCode"]
    assert isinstance(code, int)
    return code
