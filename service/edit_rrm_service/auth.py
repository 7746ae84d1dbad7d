"""API keys: only their SHA-256 is configured, and comparing takes the same time whichever key is wrong."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence


def hash_key(key: str) -> str:
    """SHA-256 (lower-case hex) of an API key, as `EDIT_RRM_API_KEY_HASHES` wants it."""
    return hashlib.sha256(key.encode()).hexdigest()


def is_authorised(header: str | None, hashes: Sequence[str]) -> bool:
    """Whether an `Authorization` header carries an accepted key (RFC 6750). No keys configured means everybody."""
    if not hashes:
        return True
    scheme, _, token = (header or "").partition(" ")
    presented = hash_key(token.strip())
    # Every key is compared, so that timing tells nothing about which ones exist.
    matches = [hmac.compare_digest(presented, accepted) for accepted in hashes]
    return scheme.lower() == "bearer" and any(matches)
