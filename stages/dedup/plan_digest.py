"""The hash of a plan, by columns: a tenth of the time that a million texts take one by one."""

import hashlib
from collections.abc import Iterable

import pyarrow as pa

from stages.dedup.arrow import pc

LINES_AT_ONCE = 1 << 16


def digest_of_lines(parts: Iterable[str], lines: pa.StringArray, length: int = 20) -> str:
    """What `stages.storage.digest` gives for the parts and all lines."""
    hasher = hashlib.sha256()
    for part in parts:
        encoded = part.encode("utf-8", "surrogateescape")
        hasher.update(len(encoded).to_bytes(8, "big"))
        hasher.update(encoded)
    for start in range(0, len(lines), LINES_AT_ONCE):
        hasher.update(_with_lengths(lines[start : start + LINES_AT_ONCE].cast(pa.binary())))
    return hasher.hexdigest()[:length]


def _with_lengths(lines: pa.BinaryArray) -> memoryview:
    """The lines, each behind its length in 8 bytes."""
    lengths = pc.binary_length(lines).dictionary_encode()
    prefixes = pa.array([size.to_bytes(8, "big") for size in lengths.dictionary.to_pylist()], pa.binary())
    joined = pc.binary_join_element_wise(prefixes.take(lengths.indices), lines, b"")
    _, offsets, data = joined.buffers()
    bounds = memoryview(offsets).cast("i")
    return memoryview(data)[bounds[joined.offset] : bounds[joined.offset + len(joined)]]
