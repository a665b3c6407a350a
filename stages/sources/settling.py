"""Which listed sources have stopped changing: one that is still written must not be curated half."""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from stages.sources.listing import Source

MAX_SEEN = 1_000
"""Sources that are remembered at most; those beyond it begin to wait once there is room."""

_FORGET_S = 86_400.0
"""After this and the wait, a source that was not listed again is forgotten."""


@dataclass(frozen=True)
class Settling:
    """What a look at some sources found.

    Attributes:
        ready: those that have stopped changing, in the order given.
        seen: when a source without a usable time was first seen as it is, by video id, in seconds since 1970; for the
            next look.
    """

    ready: list[Source]
    seen: dict[str, float]


def settle(sources: Iterable[Source], *, now: float, settle_s: float, seen: Mapping[str, float]) -> Settling:
    """Tell the sources that last changed `settle_s` ago or earlier.

    Where the store tells no time, or one in the future since its clock is ahead, a source must have been seen with
    equal content tag and size, hence equal video id, for that long.

    Args:
        sources: that are not registered as they are.
        now: seconds since 1970.
        settle_s: how long nothing must have changed.
        seen: of the look before.
    """
    ready: list[Source] = []
    dealt_with: set[str] = set()
    waiting: dict[str, float] = {}
    for source in sources:
        video_id = source.video_id
        timed = source.modified is not None and source.modified <= now
        since = source.modified if timed else seen.get(video_id, now)
        dealt_with.add(video_id)
        if since is not None and now - since >= settle_s:
            ready.append(source)
        elif not timed:
            waiting[video_id] = since if since is not None else now
    remembered = {
        video_id: since
        for video_id, since in seen.items()
        if video_id not in dealt_with and now - since < settle_s + _FORGET_S
    }
    # Those seen earliest come first, so that none is pushed out by later ones.
    merged = sorted({**remembered, **waiting}.items(), key=lambda each: each[1])
    return Settling(ready, dict(itertools.islice(merged, MAX_SEEN)))
