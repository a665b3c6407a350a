"""A remote file read by ranges, which grow where it is read sequentially.

A probe seeks between header, index and last packets and reads little at each position; a decode reads sequentially.
Both begin with a small range; where reading continues behind a range, the next is twice as long. Several ranges are
cached, since a container may store audio and video far apart and is then read at two positions in turn.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

FIRST_RANGE_BYTES = 128 << 10
MAX_RANGE_BYTES = 4 << 20
MAX_CACHED_RANGES = 4
"""An open file holds at most `MAX_CACHED_RANGES` ranges of `MAX_RANGE_BYTES` in memory."""


@dataclass(frozen=True, slots=True)
class _Range:
    start: int
    data: bytes

    @property
    def end(self) -> int:
        return self.start + len(self.data)


class RangedFile(io.RawIOBase):
    """A seekable raw file whose bytes are fetched by ranges. For one thread at a time.

    The first error is final: a caller that catches it and reads on, as demuxers do, gets it again instead of the end
    of the file.

    Args:
        fetch: returns all bytes from a start to an end.
        size: of the file.

    Attributes:
        failure: the error that `fetch` raised.
    """

    def __init__(self, fetch: Callable[[int, int], bytes], size: int) -> None:
        self._fetch = fetch
        self._size = size
        self._position = 0
        self._ranges: list[_Range] = []
        self.failure: Exception | None = None

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Position of the next byte to read."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Set the position; reads nothing."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"A place in a file must be at least 0, got {base + offset}.")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: memoryview | bytearray, /) -> int:  # type: ignore[override]  # typeshed's Buffer is of Python 3.12
        """Fill the buffer; less than its length only at the end of the file."""
        view, filled = memoryview(buffer), 0
        while filled < len(view) and self._position < self._size:
            found = self._range_at(self._position, len(view) - filled)
            skip = self._position - found.start
            data = memoryview(found.data)[skip : skip + len(view) - filled]
            view[filled : filled + len(data)] = data
            filled += len(data)
            self._position += len(data)
        return filled

    def _range_at(self, position: int, wanted: int) -> _Range:
        for index, known in enumerate(self._ranges):
            if known.start <= position < known.end:
                self._ranges.append(self._ranges.pop(index))  # the least recently used range is dropped first
                return known
        length = max(wanted, self._length_to_fetch(position))
        if self.failure is not None:
            raise self.failure
        try:
            found = _Range(position, self._fetch(position, min(self._size, position + length)))
        except Exception as error:  # whatever the store raised, a reader such as FFmpeg may hide it
            self.failure = error
            raise
        self._ranges = [*self._ranges[-MAX_CACHED_RANGES + 1 :], found]
        return found

    def _length_to_fetch(self, position: int) -> int:
        """Bytes to fetch at a position.

        A position behind a cached range, by no more than its length, doubles that length and drops the range.
        """
        for index, known in enumerate(self._ranges):
            if known.end <= position <= known.end + len(known.data):
                del self._ranges[index]
                return min(2 * len(known.data), MAX_RANGE_BYTES)
        return FIRST_RANGE_BYTES
