"""A file of a store, read by ranges that grow while it is read on.

A probe jumps between header, index and last packets and takes little at each place; a decode reads from front to
back. Both begin with a small range; where reading goes on behind a range, the next is twice as long. Several ranges
are kept, since a container may store sound and pictures far apart and is then read at two places in turn.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

FIRST_BYTES = 128 << 10
LONGEST_BYTES = 4 << 20
KEPT = 4
"""Memory of one open file: at most `KEPT` ranges of `LONGEST_BYTES`."""


@dataclass(frozen=True, slots=True)
class _Range:
    start: int
    data: bytes

    @property
    def end(self) -> int:
        return self.start + len(self.data)


class RangedFile(io.RawIOBase):
    """Bytes of a store behind the interface of a file. One thread at a time.

    The first failure is final: whoever swallows it and reads on, as demuxers do, gets it again and not the end of
    the file.

    Args:
        fetch: returns the bytes from a start to an end, all of them.
        size: of the file.

    Attributes:
        failure: what `fetch` raised.
    """

    def __init__(self, fetch: Callable[[int, int], bytes], size: int) -> None:
        self._fetch = fetch
        self._size = size
        self._place = 0
        self._ranges: list[_Range] = []
        self.failure: Exception | None = None

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Where the next byte comes from."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go elsewhere; nothing is read for it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"A place in a file must be at least 0, got {base + offset}.")
        self._place = base + offset
        return self._place

    def readinto(self, buffer: memoryview | bytearray, /) -> int:  # type: ignore[override]
        """Fill the buffer; less than its length only at the end of the file."""
        view, filled = memoryview(buffer), 0
        while filled < len(view) and self._place < self._size:
            found = self._range_at(self._place, len(view) - filled)
            skip = self._place - found.start
            data = memoryview(found.data)[skip : skip + len(view) - filled]
            view[filled : filled + len(data)] = data
            filled += len(data)
            self._place += len(data)
        return filled

    def _range_at(self, place: int, wanted: int) -> _Range:
        for index, known in enumerate(self._ranges):
            if known.start <= place < known.end:
                self._ranges.append(self._ranges.pop(index))  # the last used stays longest
                return known
        length = max(wanted, self._length_at(place))
        if self.failure is not None:
            raise self.failure
        try:
            found = _Range(place, self._fetch(place, min(self._size, place + length)))
        except Exception as error:
            self.failure = error
            raise
        self._ranges = [*self._ranges[-KEPT + 1 :], found]
        return found

    def _length_at(self, place: int) -> int:
        """How much to fetch; a range that is read on behind its end, or a little further, makes room for the next."""
        for index, known in enumerate(self._ranges):
            if known.end <= place <= known.end + len(known.data):
                del self._ranges[index]
                return min(2 * len(known.data), LONGEST_BYTES)
        return FIRST_BYTES
