"""Reads the elements that a Matroska file consists of."""

from collections.abc import Iterator

from stages.media.header_file import File

SEGMENT = 0x18538067
MAX_ELEMENTS = 10_000
"""In one element; a damaged header may claim any number."""


def elements(file: File, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Name of each EBML element, and where its contents begin and end. One of unknown size ends with its parent."""
    for _ in range(MAX_ELEMENTS):
        if start >= end:
            return
        file.seek(start)
        header = file.read(12)
        id_bytes = 9 - header[0].bit_length()
        size_bytes = 9 - header[id_bytes].bit_length()
        if id_bytes > 4 or size_bytes > 8:
            return
        size = int.from_bytes(header[id_bytes : id_bytes + size_bytes]) & ((1 << 7 * size_bytes) - 1)
        body = start + id_bytes + size_bytes
        is_unknown = size == (1 << 7 * size_bytes) - 1
        stop = end if is_unknown else min(body + size, end)
        yield int.from_bytes(header[:id_bytes]), body, stop
        start = stop
