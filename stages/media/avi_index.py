"""Whether an AVI file ends with the index of all its packets, which FFmpeg then knows before it reads any."""

import struct

from stages.media.header_file import File

MAX_CHUNKS = 1000
_HEADER_BYTES = 12
"""Of the file: ``RIFF``, its size and ``AVI ``."""


def has_whole_index(file: File, num_bytes: int) -> bool:
    """True for an AVI of one part, not cut off, with an ``idx1`` behind its packets."""
    file.seek(0)
    header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or header[:4] != b"RIFF":
        return False
    end = 8 + struct.unpack_from("<I", header, 4)[0]
    if not num_bytes - 1 <= end <= num_bytes + 1:  # OpenDML has several parts; a chunk of odd size may be padded
        return False
    place = _HEADER_BYTES
    for _ in range(MAX_CHUNKS):
        file.seek(place)
        header = file.read(8)
        if len(header) < 8:
            return False
        if header[:4] == b"idx1":
            return True
        size = struct.unpack_from("<I", header, 4)[0]
        place += 8 + size + size % 2
    return False
