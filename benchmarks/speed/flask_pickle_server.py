"""The pattern that the field copies: Flask, one synchronous worker, pickles of JPEG files in and of scores out.

`gunicorn benchmarks.speed.flask_pickle_server:app --workers 1`; never beyond this machine: who can post to it can run
anything on it, which is why the service takes no pickles. `NULL_SECONDS` is what judging a batch takes.
"""

from __future__ import annotations

import io
import os
import pickle
import time

from flask import Flask, Response, request
from PIL import Image

app = Flask(__name__)
_SECONDS = float(os.environ.get("NULL_SECONDS", "0"))


@app.post("/")
def judge() -> Response:
    """Decode every image, judge the batch, and answer with scores."""
    asked = pickle.loads(request.get_data())  # noqa: S301 - what is measured, from our own process
    pictures = [Image.open(io.BytesIO(data)).convert("RGB") for data in (asked["source"], *asked["images"])]
    time.sleep(_SECONDS)
    return Response(pickle.dumps({"scores": [0.8] * (len(pictures) - 1)}))
