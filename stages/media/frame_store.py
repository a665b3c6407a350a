"""The frame store: small upright JPEGs of a video with their PTS. Light to import: reading requires no decoder.

    {root}/frames/{partition}/{video_id}.parquet

The store is a cache: it may be deleted, and is rebuilt where it is missing or has other parameters. It is read by row
groups: a clip needs one or two, the store of a two-hour video has hundreds.
"""

import contextlib
from collections.abc import Container, Iterator, Sequence
from itertools import groupby
from typing import IO, NamedTuple, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.media.row_groups import RowGroups, StoreDamaged, StoreReplaced, convert_read_errors
from stages.storage import Storage, digest
from stages.tasks import Span

__all__ = ["FOOTER_KEY", "FrameStore", "StoreDamaged", "StoreReplaced", "frames_key", "open_store", "store_path"]

VERSION = "2"
"""Version of sampling and encoding, part of `frames_key`. To be raised if equal parameters give other pictures."""

FOOTER_KEY = b"frames_key"

MAX_CACHED_BYTES = 8 << 20
MAX_CACHED_GROUPS = 4
"""Both limits bound the row groups in memory and those of one request: two minutes at the default rate and size.
Identical JPEGs are stored once in the file and once each in memory. A larger row group is cached alone."""

_TIME_COLUMNS = ("pts", "frame")
_ALL_COLUMNS = (*_TIME_COLUMNS, "jpeg")


def frames_key(video_id: str, fps: float, max_px: int) -> str:
    """Hash that identifies the JPEGs of one video at one rate and size; keys of embeddings and captions hold it."""
    return digest(VERSION, video_id, repr(float(fps)), str(max_px))


def store_path(partition: str, video_id: str) -> str:
    """Path of a video's store, relative to the root."""
    return f"frames/{partition}/{video_id}.parquet"


class Times(NamedTuple):
    """Presentation times of pictures.

    Attributes:
        pts: int64 ``[N]``, in the stream's time base; rises.
        frame: int64 ``[N]``, index in presentation order from 0.
    """

    pts: NDArray[np.int64]
    frame: NDArray[np.int64]


class FrameStore:
    """Pictures sampled from one video, in presentation order. A position is the index of a picture in that order.

    The times of every row group that was read stay in memory, and the JPEGs of the last few. Methods that read raise
    the errors of `open_store`, except that of a missing file. After a failed read the store must be opened again.

    Args:
        handle: the open file.
        location: of the file, for messages.
        closing: closes the file; the store takes ownership.

    Attributes:
        key: see `frames_key`.
    """

    def __init__(self, handle: IO[bytes], location: str, closing: contextlib.ExitStack) -> None:
        self._file = RowGroups(handle, location, _ALL_COLUMNS)
        metadata = self._file.metadata
        self.key = (metadata.metadata or {}).get(FOOTER_KEY, b"").decode(errors="replace")
        # A file may contain row groups without rows; those are left out, and the others are numbered from 0.
        rows = {group: self._file.num_rows(group) for group in range(metadata.num_row_groups)}
        self._groups = [group for group, number in rows.items() if number]
        self._bases = np.cumsum([0, *(rows[group] for group in self._groups)])
        self._bytes = [self._file.size_bytes(group, _ALL_COLUMNS) for group in self._groups]
        self._times: dict[int, Times] = {}
        self._jpegs: dict[int, pa.ChunkedArray] = {}
        self._first, self._last = self._pts_ranges()
        self._closing = closing.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and drop the cache."""
        self._jpegs.clear()
        self._closing.close()

    def __len__(self) -> int:
        return int(self._bases[-1])

    @property
    def end_pts(self) -> int:
        """One more than the PTS of the last picture; 0 where there is none."""
        return int(self._last[-1]) + 1 if len(self) else 0

    def within(self, span: Span, shot: Span) -> list[int]:
        """Positions of the pictures inside the span; else of the picture of its shot that is nearest to its middle.

        Empty only where the shot is so short that it has no sampled picture.
        """
        groups = range(
            int(np.searchsorted(self._last, span.start_pts)), int(np.searchsorted(self._first, span.end_pts))
        )
        if self._fits_cache(groups):
            self._cache(groups)
        inside = self.between(span.start_pts, span.end_pts)
        if inside:
            return list(inside)
        in_shot = self.between(shot.start_pts, shot.end_pts)
        middle = (span.start_pts + span.end_pts) / 2
        return [self.nearest(middle, in_shot.start, in_shot.stop)] if in_shot else []

    def between(self, start_pts: int, end_pts: int) -> range:
        """Positions of the pictures in [start_pts, end_pts)."""
        return range(self._position(start_pts), self._position(end_pts))

    def nearest(self, pts: float, first: int, last: int) -> int:
        """The position in [first, last), which must not be empty, that is nearest to a time; of two the earlier."""
        position = self._position(pts)
        if not first < position < last:
            return first if position <= first else last - 1
        return position - 1 if pts - self._pts_at(position - 1) <= self._pts_at(position) - pts else position

    def times(self, positions: Sequence[int]) -> Times:
        """Presentation times of the pictures at these positions."""
        numbers = [self._group_of(position) for position in positions]
        self._load_times(sorted(set(numbers)))
        rows = [
            (self._times[number], position - self._bases[number])
            for number, position in zip(numbers, positions, strict=True)
        ]
        pts, frame = ([times[column][row] for times, row in rows] for column in range(len(_TIME_COLUMNS)))
        return Times(np.array(pts, np.int64), np.array(frame, np.int64))

    def jpegs(self, positions: Sequence[int]) -> Iterator[bytes]:
        """The JPEGs at ascending positions, each upright and at most ``max_px`` on its longest side."""
        wanted = {number: list(in_group) for number, in_group in groupby(positions, self._group_of)}
        for number, in_group in wanted.items():
            if number not in self._jpegs:
                self._cache(self._wanted_run(number, wanted))
            column = self._jpegs[number] = self._jpegs.pop(number)  # least recently used first
            for position in in_group:
                yield column[position - int(self._bases[number])].as_py()

    def _pts_ranges(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First and last PTS of each row group, from the footer's statistics, else from the pages."""
        limits = [self._file.limits(group, "pts") for group in self._groups]
        if None in limits:
            self._load_times(range(len(self._groups)))
            limits = [(times.pts[0], times.pts[-1]) for _, times in sorted(self._times.items())]
        pairs = np.array(limits, np.int64).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]

    def _position(self, pts: float) -> int:
        """Number of pictures before a time."""
        number = int(np.searchsorted(self._last, pts))
        if number == len(self._groups) or pts <= self._first[number]:
            return int(self._bases[number])
        self._load_times([number])
        return int(self._bases[number] + np.searchsorted(self._times[number].pts, pts))

    def _pts_at(self, position: int) -> int:
        number = self._group_of(position)
        if position == self._bases[number]:
            return int(self._first[number])
        if position + 1 == self._bases[number + 1]:
            return int(self._last[number])
        return int(self.times([position]).pts[0])

    def _group_of(self, position: int) -> int:
        return int(np.searchsorted(self._bases, position, "right")) - 1

    def _load_times(self, numbers: Sequence[int]) -> None:
        """Load the times of row groups; without their JPEGs where these do not fit into the cache."""
        missing = [number for number in numbers if number not in self._times]
        if missing and self._fits_cache(range(missing[0], missing[-1] + 1)):
            self._cache(range(missing[0], missing[-1] + 1))
            return
        for number in missing:
            self._keep_times(number, *self._file.read([self._groups[number]], _TIME_COLUMNS))

    def _wanted_run(self, number: int, wanted: Container[int]) -> range:
        """The row group and those after it that are wanted too, as many as the cache can take."""
        run = range(number, number + 1)
        while run.stop in wanted and run.stop not in self._jpegs and self._fits_cache(range(number, run.stop + 1)):
            run = range(number, run.stop + 1)
        return run

    def _fits_cache(self, numbers: Sequence[int]) -> bool:
        return len(numbers) <= MAX_CACHED_GROUPS and sum(self._bytes[number] for number in numbers) <= MAX_CACHED_BYTES

    def _cache(self, run: range) -> None:
        """Fetch the row groups of a range that are not cached, by one request; evict the least recently used."""
        missing = [number for number in run if number not in self._jpegs]
        if not missing:
            return
        run = range(missing[0], missing[-1] + 1)
        evictable = [number for number in self._jpegs if number not in run]
        while evictable and not self._fits_cache([*evictable, *run]):
            del self._jpegs[evictable.pop(0)]
        for number, table in zip(
            run, self._file.read([self._groups[number] for number in run], _ALL_COLUMNS), strict=True
        ):
            self._keep_times(number, table)
            self._jpegs[number] = table["jpeg"]

    def _keep_times(self, number: int, table: pa.Table) -> None:
        times = Times(table["pts"].to_numpy(), table["frame"].to_numpy())
        if self._file.limits(self._groups[number], "pts") not in (None, (times.pts[0], times.pts[-1])):
            raise StoreDamaged(
                f"Row group {number} of frame store {self.key} must hold the times that its footer tells."
            )
        self._times[number] = times


def open_store(storage: Storage, partition: str, video_id: str) -> FrameStore:
    """Open a video's store. The caller closes it.

    Raises:
        FileNotFoundError: there is no store.
        StoreDamaged: it cannot be parsed.
        StoreReplaced: another run replaced it while it was read; discard what was read.
        StageError: the disk or the object store cannot read it; transient.
        StorageError: the object store does not answer; transient.
    """
    path = store_path(partition, video_id)
    with contextlib.ExitStack() as stack:
        with convert_read_errors(storage.location(path)):
            handle = stack.enter_context(storage.open(path))
        return FrameStore(handle, storage.location(path), stack)
