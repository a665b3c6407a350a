"""Keys of batches, which say what is inside: ``{folder}-{date of the newest member, UTC}-{hash of the members}``.

The folder is there with `read.partition_by: prefix` only. Letters of ASCII, digits, "-" and "_" need no quotes in
Dagster's selection of partitions, no escapes in a URL, and are names on every file system.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from stages.params import ReadParams
from stages.sources.source_listing import Source
from stages.storage import digest

_HASH_LENGTHS = (8, 12, 20)
"""Hex digits of the hash. Of members with equal shorter keys, those that come later get more digits."""

_MAX_FOLDER_LENGTH = 64

_YEAR_10000_S = 253_402_300_800
"""The first second that has no date of ten characters."""


def batch_keys(members: Sequence[Source], params: ReadParams) -> tuple[str, ...]:
    """Keys for a partition of these members, the shortest first; equal members have equal keys."""
    newest = newest_modification(source.modified for source in members)
    name = "-".join(filter(None, (_folder_name(members[0], params), f"{newest:%Y-%m-%d}" if newest else "undated")))
    return tuple(f"{name}-{digest(*(source.video_id for source in members), length=each)}" for each in _HASH_LENGTHS)


def newest_modification(times_s: Iterable[float | None]) -> datetime | None:
    """The latest of the times, in seconds since 1970; None where there is none between 1970 and the year 9999."""
    known = [each for each in times_s if each is not None and 0 <= each < _YEAR_10000_S]
    return datetime.fromtimestamp(max(known), UTC) if known else None


def folder_of(source: Source, params: ReadParams) -> tuple[str, ...]:
    """The folders of a source that `read.partition_by: prefix` tells apart."""
    return tuple(source.path.split("/")[:-1][: params.prefix_depth])


def _folder_name(source: Source, params: ReadParams) -> str:
    if params.partition_by != "prefix":
        return ""
    plain = unicodedata.normalize("NFKD", "/".join(folder_of(source, params))).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9-]+", "_", plain).strip("_-")[:_MAX_FOLDER_LENGTH].rstrip("_-")
