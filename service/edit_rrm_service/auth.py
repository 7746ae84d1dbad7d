"""API keys: only their SHA-256 is configured, and comparing takes the same time whichever key is wrong."""

from __future__ import annotations

import base64
import hashlib
import hmac
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from edit_rrm_service.callers import ANONYMOUS, Caller, CallerLimits, Priority

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_KeyName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class ApiKey(BaseModel):
    """One entry of the keys file: `[keys.NAME]`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: Sha256
    """Of the key; make one with `edit-rrm hash-key`."""
    priority: Literal["interactive", "training"] = "interactive"
    """The best it may have. A key for `training` is never served before one for `interactive`."""
    weight: float = Field(default=1.0, gt=0.0, le=1_000.0)
    """Share of the engine relative to other keys that have work waiting."""
    requests_per_minute: float | None = Field(default=None, gt=0.0)
    """Requests let in over time; null takes the service's setting."""
    max_concurrent: int | None = Field(default=None, ge=1)
    """Requests under way at a time; null takes the service's setting."""


class KeysError(ValueError):
    """A keys file that cannot be used; the message says what to change."""


class KeyRing:
    """The accepted keys, and whom each of them is."""

    def __init__(self, callers: Sequence[tuple[str, Caller]], everybody: Caller = ANONYMOUS) -> None:
        """Accept these SHA-256 digests (lower-case hex); where there are none, take everyone for `everybody`."""
        self._callers = tuple(callers)
        self._everybody = everybody

    @property
    def names(self) -> tuple[str, ...]:
        """Of everybody who can be let in, each once, in the order they were given in."""
        callers = [caller for _, caller in self._callers] or [self._everybody]
        return tuple(dict.fromkeys(caller.name for caller in callers))

    @property
    def wanted(self) -> bool:
        """Whether anybody is asked for a key."""
        return bool(self._callers)

    def caller(self, header: str | None) -> Caller | None:
        """Whose key an `Authorization` header carries; None where it is nobody's.

        As a bearer token (RFC 6750); or as the password of any user (RFC 7617), for programs that can only be given a
        URL: ``http://user:KEY@host``.
        """
        if not self._callers:
            return self._everybody
        key = _presented(header or "")
        if key is None:
            return None
        presented = hash_key(key)
        # Every key is compared, so that timing tells nothing about which ones exist.
        matches = [caller for digest, caller in self._callers if hmac.compare_digest(presented, digest)]
        return matches[0] if matches else None


def _presented(header: str) -> str | None:
    """The key in a header; None where there is none."""
    scheme, _, token = header.partition(" ")
    match scheme.lower():
        case "bearer":
            return token.strip()
        case "basic":
            try:
                return base64.b64decode(token.strip(), validate=True).decode().partition(":")[2]
            except ValueError:
                return None
    return None


def hash_key(key: str) -> str:
    """SHA-256 (lower-case hex) of an API key, as `EDIT_RRM_API_KEY_HASHES` and the keys file want it."""
    return hashlib.sha256(key.encode()).hexdigest()


def load_keys(hashes: Sequence[str], path: Path | None, limits: CallerLimits) -> KeyRing:
    """Collect the accepted keys.

    Args:
        hashes: SHA-256 digests of keys that are entitled to everything; named after their first eight digits.
        path: A TOML file with a table `[keys.NAME]` for every further key, see `ApiKey`.
        limits: Of keys that have none of their own.

    Raises:
        KeysError: The file cannot be read, or says something else than it should.
    """
    callers = [(digest, Caller(f"key-{digest[:8]}", limits=limits)) for digest in hashes]
    for name, key in ({} if path is None else _read(path)).items():
        own = CallerLimits(
            requests_per_minute=key.requests_per_minute or limits.requests_per_minute,
            max_concurrent=key.max_concurrent or limits.max_concurrent,
        )
        callers.append((key.sha256, Caller(name, Priority[key.priority.upper()], key.weight, own)))
    seen: dict[str, str] = {}
    for digest, caller in callers:
        if digest in seen:
            raise KeysError(f"{caller.name} and {seen[digest]} are the same API key; give each caller one of its own")
        seen[digest] = caller.name
    return KeyRing(callers, replace(ANONYMOUS, limits=limits))


def _read(path: Path) -> dict[str, ApiKey]:
    try:
        found: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise KeysError(f"the keys file {path} cannot be read: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise KeysError(f"{path} is not TOML: {error}") from None
    if extra := sorted(found.keys() - {"keys"}):
        raise KeysError(f"{path}: there is no table {extra[0]!r}; every key is a table [keys.NAME]")
    try:
        return TypeAdapter(dict[_KeyName, ApiKey]).validate_python(found.get("keys", {}))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(piece) for piece in first["loc"])
        hint = "; make it with: edit-rrm hash-key" if where.endswith("sha256") else ""
        raise KeysError(f"{path}: keys.{where}: {first['msg']}{hint}") from None
