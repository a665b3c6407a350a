"""The frame store: small upright JPEGs of a video with their PTS. Light to import: reading needs no decoder.

    {root}/frames/{partition}/{video_id}.parquet

A cache: it may be deleted, and is made anew where it is missing or of other parameters. It is read by row groups: a
clip needs one or two, the store of two hours has hundreds.
"""

import contextlib
from collections.abc import Container, Iterator, Sequence
from itertools import groupby
from typing import IO, NamedTuple, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.media.row_groups import RowGroups, StoreDamaged, StoreReplaced, reading
from stages.storage import Storage, digest
from stages.tasks import Span

__all__ = ["FOOTER_KEY", "FrameStore", "StoreDamaged", "StoreReplaced", "frames_key", "open_store", "store_path"]

VERSION = "1"
"""Raised when equal parameters would sample or encode otherwise; it enters `frames_key`."""

FOOTER_KEY = b"frames_key"

HELD_BYTES = 8 << 20
HELD_GROUPS = 4
"""Of row groups that are held, and that one request fetches, both bounds: two minutes at the default rate and size.
Equal pictures take their bytes once in the file and each time in memory. A larger row group is held alone."""

_TIMES = ("pts", "frame")
_ALL = (*_TIMES, "jpeg")


def frames_key(video_id: str, fps: float, max_px: int) -> str:
    """Names the pictures of one video at one rate and size; embeddings and captions hang on it."""
    return digest(VERSION, video_id, repr(float(fps)), str(max_px))


def store_path(partition: str, video_id: str) -> str:
    """Where a video's store lies, below the root."""
    return f"frames/{partition}/{video_id}.parquet"


class Times(NamedTuple):
    """When pictures are shown.

    Attributes:
        pts: int64 ``[N]``, in the stream's time base; rises.
        frame: int64 ``[N]``, index in presentation order from 0.
    """

    pts: NDArray[np.int64]
    frame: NDArray[np.int64]


class FrameStore:
    """Pictures sampled from one video, in presentation order; a place is the number of pictures before one.

    It holds the times of the row groups that were looked at, and the JPEGs of the last few of them. Every method that
    reads may raise what `open_store` raises of an open file. After a failed read the store must be opened again.

    Args:
        handle: the file.
        location: of the file, for messages.
        closing: closes the file; taken over by the store that is made.

    Attributes:
        key: see `frames_key`.
    """

    def __init__(self, handle: IO[bytes], location: str, closing: contextlib.ExitStack) -> None:
        self._file = RowGroups(handle, location, _ALL)
        metadata = self._file.metadata
        self.key = (metadata.metadata or {}).get(FOOTER_KEY, b"").decode(errors="replace")
        # Files may hold row groups without rows. A row group is named by its number among the others.
        rows = {group: self._file.num_rows(group) for group in range(metadata.num_row_groups)}
        self._groups = [group for group, number in rows.items() if number]
        self._bases = np.cumsum([0, *(rows[group] for group in self._groups)])
        self._bytes = [self._file.size_bytes(group, _ALL) for group in self._groups]
        self._times: dict[int, Times] = {}
        self._jpegs: dict[int, pa.ChunkedArray] = {}
        self._first, self._last = self._limits()
        self._closing = closing.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file and of what is held."""
        self._jpegs.clear()
        self._closing.close()

    def __len__(self) -> int:
        return int(self._bases[-1])

    @property
    def end_pts(self) -> int:
        """Behind the last picture; 0 where there is none."""
        return int(self._last[-1]) + 1 if len(self) else 0

    def within(self, span: Span, shot: Span) -> list[int]:
        """Places of the pictures inside the span, else of the one of its shot that is nearest to its middle.

        Empty only where the shot is so short that none was sampled in it.
        """
        groups = range(
            int(np.searchsorted(self._last, span.start_pts)), int(np.searchsorted(self._first, span.end_pts))
        )
        if self._fits(groups):
            self._hold(groups)
        first, last = self._place(span.start_pts), self._place(span.end_pts)
        if first < last:
            return list(range(first, last))
        first, last = self._place(shot.start_pts), self._place(shot.end_pts)
        return [self.nearest((span.start_pts + span.end_pts) / 2, first, last)] if first < last else []

    def nearest(self, pts: float, first: int, last: int) -> int:
        """Of the places from `first` until before `last`, at least one, that nearest to a time; the earlier of two."""
        place = self._place(pts)
        if not first < place < last:
            return first if place <= first else last - 1
        return place - 1 if pts - self._pts(place - 1) <= self._pts(place) - pts else place

    def times(self, places: Sequence[int]) -> Times:
        """When the pictures are shown."""
        numbers = [self._group(place) for place in places]
        self._look_at(sorted(set(numbers)))
        rows = [
            (self._times[number], place - self._bases[number]) for number, place in zip(numbers, places, strict=True)
        ]
        pts, frame = ([times[column][row] for times, row in rows] for column in range(len(_TIMES)))
        return Times(np.array(pts, np.int64), np.array(frame, np.int64))

    def jpegs(self, places: Sequence[int]) -> Iterator[bytes]:
        """The pictures of rising places, each upright and at most ``max_px`` on its longest side."""
        wanted = {number: list(those) for number, those in groupby(places, self._group)}
        for number, those in wanted.items():
            if number not in self._jpegs:
                self._hold(self._run(number, wanted))
            column = self._jpegs[number] = self._jpegs.pop(number)  # the last used stays longest
            for place in those:
                yield column[place - int(self._bases[number])].as_py()

    def _limits(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First and last PTS of each row group: as the footer tells, else as the pages do."""
        limits = [self._file.limits(group, "pts") for group in self._groups]
        if None in limits:
            self._look_at(range(len(self._groups)))
            limits = [(times.pts[0], times.pts[-1]) for _, times in sorted(self._times.items())]
        pairs = np.array(limits, np.int64).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]

    def _place(self, pts: float) -> int:
        """How many pictures come before a time."""
        number = int(np.searchsorted(self._last, pts))
        if number == len(self._groups) or pts <= self._first[number]:
            return int(self._bases[number])
        self._look_at([number])
        return int(self._bases[number] + np.searchsorted(self._times[number].pts, pts))

    def _pts(self, place: int) -> int:
        number = self._group(place)
        if place == self._bases[number]:
            return int(self._first[number])
        if place + 1 == self._bases[number + 1]:
            return int(self._last[number])
        return int(self.times([place]).pts[0])

    def _group(self, place: int) -> int:
        return int(np.searchsorted(self._bases, place, "right")) - 1

    def _look_at(self, numbers: Sequence[int]) -> None:
        """Have the times of row groups; those of more than may be held are fetched without their JPEGs."""
        missing = [number for number in numbers if number not in self._times]
        if missing and self._fits(range(missing[0], missing[-1] + 1)):
            self._hold(range(missing[0], missing[-1] + 1))
            return
        for number in missing:
            self._keep_times(number, *self._file.read([self._groups[number]], _TIMES))

    def _run(self, number: int, wanted: Container[int]) -> range:
        """The row group, and those after it that are wanted too and may be held with it."""
        run = range(number, number + 1)
        while run.stop in wanted and run.stop not in self._jpegs and self._fits(range(number, run.stop + 1)):
            run = range(number, run.stop + 1)
        return run

    def _fits(self, numbers: Sequence[int]) -> bool:
        return len(numbers) <= HELD_GROUPS and sum(self._bytes[number] for number in numbers) <= HELD_BYTES

    def _hold(self, run: range) -> None:
        """Fetch by one request what is not held of row groups that follow one another; let go of the oldest others."""
        missing = [number for number in run if number not in self._jpegs]
        if not missing:
            return
        run = range(missing[0], missing[-1] + 1)
        others = [number for number in self._jpegs if number not in run]
        while others and not self._fits([*others, *run]):
            del self._jpegs[others.pop(0)]
        for number, table in zip(run, self._file.read([self._groups[number] for number in run], _ALL), strict=True):
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
    """A video's store. To be closed.

    Raises:
        FileNotFoundError: it is missing.
        StoreDamaged: it cannot be parsed.
        StoreReplaced: another run wrote it anew while it was read; what was read must be forgotten.
        StageError: the disk or the object store does not let it be read; passing.
        StorageError: the object store does not answer; passing.
    """
    path = store_path(partition, video_id)
    with contextlib.ExitStack() as stack:
        with reading(storage.location(path)):
            handle = stack.enter_context(storage.open(path))
        return FrameStore(handle, storage.location(path), stack)
