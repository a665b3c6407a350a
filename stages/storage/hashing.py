"""Hashes of texts, of which names of files and keys of rows are made."""

import hashlib


def digest(*parts: str, length: int = 20) -> str:
    """First `length` hex digits of the SHA-256 of the parts, each with its length, so that no two lists collide."""
    hasher = hashlib.sha256()
    for part in parts:
        encoded = part.encode("utf-8", "surrogateescape")
        hasher.update(len(encoded).to_bytes(8, "big"))
        hasher.update(encoded)
    return hasher.hexdigest()[:length]
