"""Reads what was recorded of the pictures of clips.

{root}/manifests/signals/...     all that was recorded, a file a video; read for new clips and candidates
"""

from collections import OrderedDict
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.dedup.copy_columns import COPY_COLUMNS
from stages.dedup.copy_hashes import ClipHashes
from stages.signals import RecordedPictures, read_pictures, signals_path
from stages.storage import Storage

HELD_BYTES = 512 * 2**20
"""Of pictures in memory, those of the videos that were asked for last. An hour has 17 MB, one that stands still 50."""


class CopyStore:
    """What was recorded of some clips.

    Args:
        storage: of the root.
        rows: `COPY_COLUMNS` of the clips; only those with a ``signals_key`` are asked for.
    """

    def __init__(self, storage: Storage, rows: pa.Table) -> None:
        self._storage = storage
        columns = {name: rows[name].to_pylist() for name in COPY_COLUMNS}
        self._paths = [
            signals_path(*each)
            for each in zip(columns["partition"], columns["video_id"], columns["signals_key"], strict=True)
        ]
        self._frames = list(zip(columns["start_frame"], columns["end_frame"], strict=True))
        self._spans = list(zip(columns["start_s"], columns["end_s"], strict=True))
        self._videos = _numbers(columns["video_id"])
        self._shots = _numbers(zip(columns["video_id"], columns["shot_start_pts"], strict=True))
        self.rows = rows
        self._held: OrderedDict[str, RecordedPictures | None] = OrderedDict()
        self._held_bytes = 0

    def clip(self, position: int) -> ClipHashes | None:
        """What was recorded of a clip; None where nothing was."""
        recorded = self._recorded(self._paths[position])
        if recorded is None:
            return None
        start, end = self._frames[position]
        inside = recorded.samples.within(start, end)
        if not len(inside):
            return None
        start_s, end_s = self._spans[position]
        fast, still = recorded.fast.within(start, end), recorded.stills.within(start, end)
        return ClipHashes(
            recorded.seconds[inside.frame] - recorded.seconds[start],
            inside["thumbnail"],
            inside["pdq_quality"],
            recorded.seconds[still.frame] - recorded.seconds[start],
            still.values.get("still", np.empty((0, 0), np.uint8)),
            self._videos[position],
            self._shots[position],
            start_s,
            end_s,
            recorded.seconds[fast.frame] - recorded.seconds[start],
            fast.values.get("fast_thumbnail", np.empty((0, 0), np.uint8)),
        )

    def _recorded(self, path: str) -> RecordedPictures | None:
        """Of a video; those that were asked for longest ago leave memory."""
        if path in self._held:
            self._held.move_to_end(path)
            return self._held[path]
        recorded = self._held[path] = read_pictures(self._storage, path)
        self._held_bytes += recorded.nbytes if recorded is not None else 0
        while self._held_bytes > HELD_BYTES and len(self._held) > 1:
            gone = self._held.popitem(last=False)[1]
            self._held_bytes -= gone.nbytes if gone is not None else 0
        return recorded


def _numbers(values: Iterable[object]) -> NDArray[np.int64]:
    """The number of each value among the different ones."""
    known: dict[object, int] = {}
    return np.array([known.setdefault(value, len(known)) for value in values], np.int64)
