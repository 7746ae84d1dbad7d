"""Renders the chart by a real Helm, and finds what it checks with."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "edit-rrm"
CI = sorted(CHART.glob("ci/*-values.yaml"))
APIS = ("monitoring.coreos.com/v1", "keda.sh/v1alpha1", "gateway.networking.k8s.io/v1")
FETCH = "fetch it: python deploy/tools/fetch.py"

Manifest = dict[str, Any]


def tool(name: str) -> str | None:
    """Where a tool is: in `build/tools`, else in the PATH."""
    own = ROOT / "build" / "tools" / name
    return str(own) if own.is_file() else shutil.which(name)


HELM = tool("helm")


def helm(*arguments: str, values: Mapping[str, Any] | Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run Helm; values are a file, or what would be in one."""
    assert HELM is not None, FETCH
    given = yaml.safe_dump(dict(values)) if isinstance(values, Mapping) else None
    files = [] if values is None else ["--values", "-" if given is not None else str(values)]
    return subprocess.run([HELM, *arguments, *files], input=given, capture_output=True, text=True, check=False)


def template(
    values: Mapping[str, Any] | Path | None, apis: tuple[str, ...] = APIS, *more: str
) -> subprocess.CompletedProcess[str]:
    """Render release `judge` in namespace `judging`, as for a cluster with these APIs."""
    flags = [flag for api in apis for flag in ("--api-versions", api)]
    return helm(
        "template", "judge", str(CHART), "--namespace=judging", "--kube-version=1.35.0", *flags, *more, values=values
    )


def render(values: Mapping[str, Any] | Path, apis: tuple[str, ...] = APIS) -> list[Manifest]:
    """Every object that comes out."""
    result = template(values, apis)
    assert result.returncode == 0, result.stderr
    return [document for document in yaml.safe_load_all(result.stdout) if document]


@functools.cache
def rendered(name: str) -> tuple[Manifest, ...]:
    """What comes out of one of the files in `ci`."""
    return tuple(render(CHART / "ci" / f"{name}-values.yaml"))


def find(manifests: tuple[Manifest, ...] | list[Manifest], kind: str, name: str = "judge-edit-rrm") -> Manifest:
    """The one object of this kind and name."""
    found = [each for each in manifests if each["kind"] == kind and each["metadata"]["name"] == name]
    assert len(found) == 1, f"{kind} {name}: {len(found)} of {[(m['kind'], m['metadata']['name']) for m in manifests]}"
    return found[0]


def kinds(manifests: tuple[Manifest, ...] | list[Manifest]) -> set[str]:
    """Kinds of the objects."""
    return {each["kind"] for each in manifests}


def pod(manifests: tuple[Manifest, ...] | list[Manifest]) -> Manifest:
    """Specification of the service's pods."""
    spec: Manifest = find(manifests, "Deployment")["spec"]["template"]["spec"]
    return spec


def server(manifests: tuple[Manifest, ...] | list[Manifest]) -> Manifest:
    """The service's container."""
    [container] = pod(manifests)["containers"]
    assert isinstance(container, dict)
    return container


def environment(manifests: tuple[Manifest, ...] | list[Manifest]) -> dict[str, str]:
    """Variables that the service gets as they are: from the ConfigMap and its container."""
    own = {each["name"]: each["value"] for each in server(manifests)["env"] if "value" in each}
    data: dict[str, str] = find(manifests, "ConfigMap")["data"]
    return data | own
