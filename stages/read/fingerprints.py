"""Fingerprints of a source: a hash of three samples, which tells sources of one size apart, and one of all bytes."""

import hashlib
from dataclasses import dataclass, replace
from typing import IO

from stages import heartbeat
from stages.errors import SourceChanged
from stages.sources import Source
from stages.storage import open_source, stat_source

SAMPLE_BYTES = 128 << 10
"""Of each of three samples; the smallest range that is fetched of a source on a store."""

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What is known of the content of a video.

    Attributes:
        sample: SHA-256 over the first, middle and last `SAMPLE_BYTES`, hex digits.
        sha256: of all bytes, hex digits; empty where it was never needed.
    """

    sample: str
    sha256: str = ""


def sample_source(uri: str, video_id: str) -> Fingerprint:
    """The fingerprint of a source from its samples: three ranges, or the whole of a small source.

    Raises:
        SourceGone: it is not there.
        SourceChanged: it is no longer the listed one.
        StorageUnavailable: the store does not answer, or refuses.
    """
    hasher = hashlib.sha256()
    with open_source(uri) as source:
        size_bytes = source.seek(0, 2)
        end = 0
        for start in (0, (size_bytes - SAMPLE_BYTES) // 2, size_bytes - SAMPLE_BYTES):
            position, end = max(start, end), max(start, end) + SAMPLE_BYTES
            source.seek(position)
            hasher.update(source.read(SAMPLE_BYTES))
            heartbeat.beat()
    _check_is_listed(uri, video_id)
    return Fingerprint(hasher.hexdigest())


def hash_source(uri: str, video_id: str, known: Fingerprint) -> Fingerprint:
    """A fingerprint with the hash of all bytes. Reads the source once, in constant memory, with a heartbeat a MiB.

    Raises:
        SourceError: as `sample_source`.
    """
    _check_is_listed(uri, video_id)  # before a large file is read for nothing
    with open_source(uri) as source:
        sha256 = _sha256(source)
    _check_is_listed(uri, video_id)
    return replace(known, sha256=sha256)


def is_there(uri: str, video_id: str) -> bool:
    """True where the source is still the listed one.

    Raises:
        SourceGone: it is not there.
        StorageUnavailable: the store does not answer, or refuses.
    """
    return Source(uri, stat_source(uri).etag, 0).video_id == video_id


def _check_is_listed(uri: str, video_id: str) -> None:
    if not is_there(uri, video_id):
        raise SourceChanged(uri, f"The source has changed since it was listed: {uri}. List it again.")


def _sha256(source: IO[bytes]) -> str:
    hasher = hashlib.sha256()
    while chunk := source.read(_CHUNK_BYTES):
        hasher.update(chunk)
        heartbeat.count("compared_bytes", len(chunk))
        heartbeat.beat()
    return hasher.hexdigest()
