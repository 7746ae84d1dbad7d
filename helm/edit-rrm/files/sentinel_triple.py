"""Posts known edits to a service, the good one and two that are worse, and exits with 0 if they are scored in order."""

from __future__ import annotations

import io
import os
import sys
import tomllib
from pathlib import Path

from PIL import Image

from edit_rrm_client import RewardClient, RewardClientError


def main(url: str) -> str | None:
    """Return None, or what is wrong."""
    if given := os.environ.get("SENTINELS_FOLDER"):
        folder = Path(given)
    else:
        from edit_rrm_service.sentinel import SHIPPED_SENTINELS

        folder = SHIPPED_SENTINELS
    good = tomllib.loads((folder / "sentinels.toml").read_text(encoding="utf-8"))["good"]
    source, edited = (folder / good["source"]).read_bytes(), (folder / good["edited"]).read_bytes()
    with Image.open(io.BytesIO(source)) as image:
        size = image.size
    black = io.BytesIO()
    Image.new("RGB", size).save(black, "PNG")
    try:
        with RewardClient(url, api_key=os.environ.get("API_KEY"), timeout=600.0) as client:
            reply = client.rewards(good["instruction"], source, [edited, source, black.getvalue()]).raise_for_error()
    except RewardClientError as error:
        keyless = error.status == 401 and "API_KEY" not in os.environ
        return f"{url}: {error}" + ("; name a Secret with one in tests.apiKey.existingSecret" if keyless else "")
    scores = dict(zip(("good", "untouched", "black"), (result.score for result in reply.results), strict=True))
    print(f"identity {reply.identity}: {scores}")
    best = scores.pop("good")
    if best is None:
        return f"the good edit was not scored: {reply.results[0].outcome.value}"
    if wrong := [name for name, score in scores.items() if score is not None and score >= best]:
        return f"not scored below the good edit: {', '.join(wrong)}"
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
