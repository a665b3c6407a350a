"""Listings of large flat folders, kept in memory while a pass over them goes on.

Only S3 is asked for a page that begins after a name. Elsewhere fsspec lists a folder whole, so that each evaluation of
a sensor that goes on in a folder of a million files would list a million. A pass need not see what changes meanwhile;
the next one lists anew.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

E = TypeVar("E")

MIN_ENTRIES = 5_000
"""Smaller folders are listed in a few requests."""
MAX_ENTRIES = 2_000_000
"""Entries that are kept in all, of about 300 bytes each; those of the folder that was asked for longest ago go."""
MAX_AGE_S = 3600.0


@dataclass(frozen=True)
class _Kept(Generic[E]):
    entries: Sequence[E]
    listed_at: float


class KeptListings(Generic[E]):
    """Listings of folders by their URLs. Safe from any thread."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Kept[E]] = OrderedDict()
        self._lock = threading.Lock()

    def entries(self, url: str, scan: Callable[[], Sequence[E]], *, goes_on: bool) -> Sequence[E]:
        """The entries of a folder.

        Args:
            url: of the folder.
            scan: lists it.
            goes_on: the pass has listed a part of the folder before, so that an earlier listing will do.
        """
        with self._lock:
            self._drop_old()
            if goes_on and url in self._kept:
                self._kept.move_to_end(url)
                return self._kept[url].entries
        found = scan()
        with self._lock:
            self._kept.pop(url, None)
            if MIN_ENTRIES <= len(found) <= MAX_ENTRIES:
                self._kept[url] = _Kept(found, time.monotonic())
            while sum(len(each.entries) for each in self._kept.values()) > MAX_ENTRIES:
                self._kept.popitem(last=False)
        return found

    def _drop_old(self) -> None:
        oldest = time.monotonic() - MAX_AGE_S
        for url in [url for url, each in self._kept.items() if each.listed_at < oldest]:
            del self._kept[url]
