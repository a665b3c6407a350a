"""Hashes of texts, of which names of files and keys of rows are made."""

import hashlib
from collections.abc import Iterable


def digest(*parts: str, length: int = 20) -> str:
    """First `length` hex digits of the SHA-256 of the parts, each with its length, so that no two lists collide."""
    hasher = hashlib.sha256()
    for part in parts:
        hasher.update(_with_length(part))
    return hasher.hexdigest()[:length]


def digests(first: Iterable[str], last: Iterable[str], length: int = 20) -> list[str]:
    """`digest` of the first parts and one more, for each that is the last; hashes what they share once."""
    shared = hashlib.sha256()
    for part in first:
        shared.update(_with_length(part))
    found: list[str] = []
    for part in last:
        hasher = shared.copy()
        hasher.update(_with_length(part))
        found.append(hasher.hexdigest()[:length])
    return found


def _with_length(part: str) -> bytes:
    encoded = part.encode("utf-8", "surrogateescape")
    return len(encoded).to_bytes(8, "big") + encoded
