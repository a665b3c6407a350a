"""Finding the listed sources that have stopped changing: one that is still being written must not be curated."""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from stages.sources.source_listing import Source

MAX_WAITING = 1_000
"""Sources remembered at most; further ones start to wait once there is room."""

_FORGET_S = 86_400.0
"""A source that was not listed again is forgotten after the settle time plus this."""


@dataclass(frozen=True)
class SettleResult:
    """The settled sources of a listing, and the state for the next call.

    Attributes:
        ready: sources that have stopped changing, in the given order.
        first_seen: by video id, when a source without a usable modification time was first listed in this version, in
            seconds since 1970; for the next call.
    """

    ready: list[Source]
    first_seen: dict[str, float]


def settle(sources: Iterable[Source], *, now: float, settle_s: float, first_seen: Mapping[str, float]) -> SettleResult:
    """Find the sources that last changed `settle_s` ago or earlier.

    Where the store gives no modification time, or one in the future since its clock is ahead, a source must have been
    listed with the same content tag, hence the same video id, for that long.

    Args:
        sources: versions that are not registered as the newest.
        now: seconds since 1970.
        settle_s: seconds without a change.
        first_seen: as the call before returned it.
    """
    ready: list[Source] = []
    processed: set[str] = set()
    waiting: dict[str, float] = {}
    for source in sources:
        video_id = source.video_id
        has_usable_time = source.modified is not None and source.modified <= now
        since = source.modified if has_usable_time else first_seen.get(video_id, now)
        processed.add(video_id)
        if since is not None and now - since >= settle_s:
            ready.append(source)
        elif not has_usable_time:
            waiting[video_id] = since if since is not None else now
    remembered = {
        video_id: since
        for video_id, since in first_seen.items()
        if video_id not in processed and now - since < settle_s + _FORGET_S
    }
    # The earliest come first, so that later ones do not displace them.
    merged = sorted({**remembered, **waiting}.items(), key=lambda each: each[1])
    return SettleResult(ready, dict(itertools.islice(merged, MAX_WAITING)))
