"""The frame store: small upright JPEGs of a video with their PTS. Light to import: reading needs no decoder.

    {root}/frames/{partition}/{video_id}.parquet

A cache: it may be deleted, and is made anew where it is missing or of other parameters.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stages.errors import Reason, StageError
from stages.storage import Storage, digest
from stages.tasks import Span

VERSION = "1"
"""Raised when equal parameters would sample or encode otherwise; it enters `frames_key`."""

FOOTER_KEY = b"frames_key"


def frames_key(video_id: str, fps: float, max_px: int) -> str:
    """Names the pictures of one video at one rate and size; embeddings and captions hang on it."""
    return digest(VERSION, video_id, repr(float(fps)), str(max_px))


def store_path(partition: str, video_id: str) -> str:
    """Where a video's store lies, below the root."""
    return f"frames/{partition}/{video_id}.parquet"


@dataclass(frozen=True)
class FrameStore:
    """Pictures sampled from one video, in presentation order.

    Attributes:
        key: see `frames_key`.
        pts: int64 ``[N]``, in the stream's time base.
        frame: int64 ``[N]``, index in presentation order from 0.
        jpegs: upright, at most ``max_px`` on the longest side.
    """

    key: str
    pts: NDArray[np.int64]
    frame: NDArray[np.int64]
    jpegs: list[bytes]

    def within(self, span: Span, shot: Span) -> list[int]:
        """Places of the pictures inside the span, else of the one of its shot that is nearest to its middle.

        Empty only where the shot is so short that none was sampled in it.
        """
        first, last = np.searchsorted(self.pts, [span.start_pts, span.end_pts])
        if first < last:
            return list(range(int(first), int(last)))
        first, last = np.searchsorted(self.pts, [shot.start_pts, shot.end_pts])
        middle = (span.start_pts + span.end_pts) / 2
        return sorted(range(int(first), int(last)), key=lambda place: abs(int(self.pts[place]) - middle))[:1]


def read_store(storage: Storage, partition: str, video_id: str) -> FrameStore | None:
    """A video's store; None where it is missing or damaged.

    Raises:
        StageError: the disk or the object store does not let it be read; passing.
    """
    path = store_path(partition, video_id)
    try:
        data = pa.py_buffer(storage.read_bytes(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StageError(
            f"The frame store must be readable, got {error}: {storage.location(path)}. Check the disk or the object "
            "store that holds it; the next run tries again.",
            Reason.STORAGE,
        ) from error
    # Read before it is parsed: Arrow tells of damaged pages by an OSError, like that of a disk.
    return parse_store(data)


def parse_store(data: pa.Buffer) -> FrameStore | None:
    """The store that a file's bytes hold; None where they are damaged."""
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        key = (file.schema_arrow.metadata or {})[FOOTER_KEY].decode()
        table = file.read(["pts", "frame", "jpeg"])
    except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError):
        return None
    return FrameStore(key, table["pts"].to_numpy(), table["frame"].to_numpy(), table["jpeg"].to_pylist())
