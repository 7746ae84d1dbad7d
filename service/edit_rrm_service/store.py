"""The shared store seam: what replicas of the service have in common.

A store holds values by key for a while, and leases: for as long as a lease lives, its holder alone is to work on a key.
A holder that dies renews nothing, so that others wait for the rest of the lease at most. A holder that was only slow
finds its lease gone: its value is not stored over the one of whoever took over (fencing).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

OPERATIONS = ("claim", "renew", "put", "release")
"""What a store can be asked for."""


class StoreDownError(Exception):
    """The store cannot be used now. Whoever gets this goes on without it."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a key for a while."""

    key: str
    token: str
    """The holder's alone."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a key had to offer: its value, or the lease to work for it, or neither while somebody else holds that."""

    value: bytes | None = None
    lease: Lease | None = None


class Store(Protocol):
    """Values and leases, shared by replicas. Every method is quick, and raises `StoreDownError` rather than wait."""

    async def claim(self, key: str, *, anew: bool = False) -> Claim:
        """In one step, the value of a key, or else its lease if it is free. `anew` does as if there were no value."""
        ...

    async def renew(self, lease: Lease) -> bool:
        """Extend a lease to its full length; False where it is lost."""
        ...

    async def put(self, lease: Lease, value: bytes, seconds: float) -> bool:
        """Store the value of a lease's key and end the lease; False, and nothing stored, where it is lost."""
        ...

    async def release(self, lease: Lease) -> None:
        """End a lease without a value, if it is still held."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
