"""Edit-RRM behind OpenRLHF's remote reward URL: nothing to install in the trainer.

On its command line, and in its data set a label column with `{"source": BASE64, "instruction": ...}` as JSON:

    --reward.remote_url http://judge:8000/get_reward
    --data.label_key judge_by

A query is then the edited image in base64. For policies that write text, name a file of your own instead of the URL,
with a `reward_func(queries, prompts, labels)` that draws the edits and asks `edit_rrm_client`. Run this file against
`make serve`: it posts what OpenRLHF posts, one query at a time, and one that is no picture.
"""

from __future__ import annotations

import argparse
import base64
import json
from importlib.resources import files

import httpx2

NAMES = ("good", "collateral", "untouched")


def main() -> None:
    """Ask for the rewards of a few rollouts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    url = f"{parser.parse_args().url}/get_reward"
    label = json.dumps({"source": picture("source"), "instruction": "make the red star blue"})
    edits = {name: picture(name) for name in NAMES} | {"broken": base64.b64encode(b"no picture").decode()}
    for name, edited in edits.items():
        reply = httpx2.post(url, json={"query": [edited], "prompts": [""], "labels": [label]}, timeout=180.0)
        answer = reply.json()
        # In OpenRLHF an error status ends in five tries and no reward: none is made up.
        print(f"{name}: {answer['rewards'][0]:.2f}" if reply.is_success else f"{name}: {answer['error']['message']}")


def picture(name: str) -> str:
    """An example in base64."""
    return base64.b64encode(files("edit_rrm_client").joinpath("examples", f"{name}.png").read_bytes()).decode()


if __name__ == "__main__":
    main()
