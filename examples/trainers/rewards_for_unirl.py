"""Edit-RRM as UniRL's remote reward service: nothing to install in the trainer.

In its reward configuration:

    RemoteRewardSpec(base_url="http://judge:8000", required_rewards=("edit_rrm",), image_format="PNG")

`edit_rrm_probe` is the same judge without reasoning. With API keys set, the key is the URL's password:
`http://trainer:KEY@judge:8000`. Run this file against `make serve`: it posts what UniRL's client posts, a step of edits
with one that is no picture.
"""

from __future__ import annotations

import argparse
import base64
from importlib.resources import files

import httpx2

NAMES = ("good", "collateral", "untouched")


def main() -> None:
    """Score one step."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    edits = {name: picture(name) for name in NAMES} | {"broken": base64.b64encode(b"no picture").decode()}
    turns = [
        [{"text": "make the red star blue", "image_b64": image} for image in (picture("source"), edited)]
        for edited in edits.values()
    ]
    requests = [{"history": history, "required_rewards": ["edit_rrm"]} for history in turns]
    url = parser.parse_args().url
    reply = httpx2.post(f"{url}/score", json={"protocol_version": "1", "requests": requests}, timeout=300.0)
    answer = reply.raise_for_status().json()
    for name, result, error in zip(edits, answer["results"], answer["errors"], strict=True):
        print(f"{name}: {result['edit_rrm']['edit_rrm']:.2f}" if result else f"{name}: {error['edit_rrm']}")


def picture(name: str) -> str:
    """An example in base64."""
    return base64.b64encode(files("edit_rrm_client").joinpath("examples", f"{name}.png").read_bytes()).decode()


if __name__ == "__main__":
    main()
