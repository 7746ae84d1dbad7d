"""Advantages for a trainer of your own: a plain function, without torch.

In your trainer, where a group's edits are scored:

    client = RewardClient("http://judge:8000", expect_identity="first")
    advantages, counts = advantages_of(client, instruction, source, edits)

`counts` says which edits were measured: leave the others out of the loss. Run this file against `make serve`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib.resources import files

from edit_rrm_client import FailureBudget, ImageInput, RewardClient, group_advantages
from edit_rrm_client.failure_policy import Flags, Floats

BUDGET = FailureBudget()
"""Stops the run if more than a quarter of the last 2,048 edits failed; `FailurePolicy` sets another limit."""


def advantages_of(
    client: RewardClient, instruction: str, source: ImageInput, edits: Sequence[ImageInput]
) -> tuple[Floats, Flags]:
    """GRPO's advantages of a group of N edits, shape (N,), and which of them count."""
    group = client.rewards(instruction, source, edits)
    BUDGET.observe([group])
    print("rewards:", *(f"{reward:.2f}" for reward in group.rewards))
    return group_advantages(group.rewards, group.mask)


def main() -> None:
    """Compare three edits of the examples, and one that is no picture."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    pictures = files("edit_rrm_client").joinpath("examples")
    names = ["good", "collateral", "untouched"]
    edits = [pictures.joinpath(f"{name}.png").read_bytes() for name in names]
    with RewardClient(parser.parse_args().url) as client:
        source = pictures.joinpath("source.png").read_bytes()
        advantages, counts = advantages_of(client, "make the red star blue", source, [*edits, b"no picture"])
    for name, advantage, counted in zip([*names, "broken"], advantages, counts, strict=True):
        print(f"{name}: advantage {advantage:+.2f}" if counted else f"{name}: not measured, counts for nothing")


if __name__ == "__main__":
    main()
