"""Reading the frame store: which row groups are fetched, which pictures are a clip's, what is told of damage."""

import contextlib
import io
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.errors import Reason, StageError
from stages.media.frame_store import (
    FOOTER_KEY,
    MAX_CACHED_GROUPS,
    FrameStore,
    StoreDamaged,
    StoreReplaced,
    open_store,
    store_path,
)
from stages.media.row_groups import TAIL_BYTES
from stages.schemas import FRAME_STORE_SCHEMA
from stages.storage import Storage
from stages.tasks import Span

SCHEMA = FRAME_STORE_SCHEMA.with_metadata({FOOTER_KEY: b"key"})


def write(
    where: Path | IO[bytes], pts: Sequence[int], jpegs: Sequence[bytes], *, rows: int, has_statistics: bool = True
) -> None:
    """A store of so many rows a row group; `has_statistics` says whether its footer tells their times."""
    table = pa.table({"pts": pts, "frame": range(len(pts)), "jpeg": jpegs}, schema=SCHEMA)
    pq.write_table(table, where, row_group_size=rows, compression="none", write_statistics=has_statistics)


def span(start: int, end: int) -> Span:
    return Span(start, end, Fraction(1, 1000))


def open_bytes(data: bytes) -> FrameStore:
    return FrameStore(io.BytesIO(data), "memory", contextlib.ExitStack())


def within_by_definition(pts: Sequence[int], clip: Span, shot: Span) -> list[int]:
    inside = [position for position, each in enumerate(pts) if clip.start_pts <= each < clip.end_pts]
    of_shot = [position for position, each in enumerate(pts) if shot.start_pts <= each < shot.end_pts]
    middle = (clip.start_pts + clip.end_pts) / 2
    return inside or sorted(of_shot, key=lambda position: abs(pts[position] - middle))[:1]


@pytest.mark.parametrize(
    ("clip", "shot", "expected"),
    [
        ((0, 30), (0, 100), [0, 1, 2]),
        ((10, 11), (0, 100), [1]),
        ((12, 16), (0, 100), [1]),
        ((13, 17), (0, 100), [1]),  # as near to 20: the earlier
        ((18, 19), (15, 40), [2]),
        ((11, 13), (11, 19), []),
        ((70, 80), (0, 100), [5]),
    ],
)
@pytest.mark.parametrize("rows", [1, 2, 6])
def test_within_takes_the_nearest_of_the_shot(
    clip: tuple[int, int], shot: tuple[int, int], expected: list[int], rows: int
) -> None:
    file = io.BytesIO()
    write(file, range(0, 60, 10), [b"j"] * 6, rows=rows)
    assert open_bytes(file.getvalue()).within(span(*clip), span(*shot)) == expected


_PTS = st.integers(-50, 50)


@given(st.sets(_PTS, max_size=20), st.integers(1, 8), st.booleans(), _PTS, _PTS, _PTS, _PTS)
def test_within_holds_the_same_pictures_however_they_are_grouped(
    chosen: set[int], rows: int, has_statistics: bool, start: int, end: int, shot_start: int, shot_end: int
) -> None:
    file, pts = io.BytesIO(), sorted(chosen)
    write(file, pts, [str(each).encode() for each in pts], rows=rows, has_statistics=has_statistics)
    clip, shot = span(start, max(end, start + 1)), span(shot_start, max(shot_end, shot_start + 1))
    with open_bytes(file.getvalue()) as store:
        positions = store.within(clip, shot)
        assert positions == within_by_definition(pts, clip, shot)
        assert list(store.jpegs(positions)) == [str(pts[position]).encode() for position in positions]
        assert store.times(positions).pts.tolist() == [pts[position] for position in positions]
        assert store.times(positions).frame.tolist() == positions


class CountingStorage(Storage):
    """Tells how many bytes its open files handed over, read by read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.fetched: list[int] = []

    @contextlib.contextmanager
    def open(self, path: str) -> Iterator[IO[bytes]]:
        with super().open(path) as handle, _Counting(handle, self.fetched) as counting:
            yield counting  # type: ignore[misc]  # typeshed's RawIOBase is no IO


class _Counting(io.RawIOBase):
    def __init__(self, handle: IO[bytes], read: list[int]) -> None:
        self._handle = handle
        self._read = read

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._handle.seek(offset, whence)

    def read(self, size: int = -1, /) -> bytes:
        data = self._handle.read(size)
        self._read.append(len(data))
        return data


ROWS, PICTURE_BYTES = 64, 4_200  # Arrow tells of no limits of more than 4 KiB in the footer
GROUP_BYTES = ROWS * (PICTURE_BYTES + 60)
"""A little more than a row group takes: pages of PTS and indices, and a dictionary of each, beside the pictures."""


@pytest.fixture(scope="module")
def two_hours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a store of 14,400 pictures."""
    root = tmp_path_factory.mktemp("long")
    path = root / store_path("p", "v")
    path.parent.mkdir(parents=True)
    random = np.random.default_rng(1)
    write(path, range(0, 7_200_000, 500), [random.bytes(PICTURE_BYTES) for _ in range(14_400)], rows=ROWS)
    return root


POOLS: list[pa.MemoryPool] = []
"""Each must outlive what was taken from it."""


@pytest.fixture
def counted_memory() -> Iterator[pa.MemoryPool]:
    """Tells what Arrow takes in one test, and took at most."""
    before = pa.default_memory_pool()
    POOLS.append(pa.proxy_memory_pool(before))
    pa.set_memory_pool(POOLS[-1])
    yield POOLS[-1]
    pa.set_memory_pool(before)


def test_a_clip_costs_its_row_groups_alone(two_hours: Path, counted_memory: pa.MemoryPool) -> None:
    storage, clip = CountingStorage(two_hours), span(3_000_000, 3_060_000)
    with open_store(storage, "p", "v") as store:
        positions = store.within(clip, clip)
        jpegs = list(store.jpegs(positions))
        pts, frame = store.times(positions)
        assert counted_memory.max_memory() <= 3 * 3 * GROUP_BYTES  # pages, what they hold, and room to grow
    assert len(storage.fetched) == 2  # the footer, and three row groups that follow one another
    assert sum(storage.fetched) <= TAIL_BYTES + 3 * GROUP_BYTES
    whole = pq.read_table(two_hours / store_path("p", "v")).slice(6000, 120)
    assert whole.to_pydict() == {"pts": pts.tolist(), "frame": frame.tolist(), "jpeg": jpegs}


def test_neighbouring_clips_fetch_each_row_group_once_and_hold_a_few(
    two_hours: Path, counted_memory: pa.MemoryPool
) -> None:
    storage = CountingStorage(two_hours)
    with open_store(storage, "p", "v") as store:
        for start in range(0, 7_200_000, 10_000):
            clip = span(start, start + 10_000)
            assert len(list(store.jpegs(store.within(clip, clip)))) == 20
        assert counted_memory.bytes_allocated() <= 2 * MAX_CACHED_GROUPS * GROUP_BYTES
    assert len(storage.fetched) <= 1 + 225
    assert sum(storage.fetched) <= TAIL_BYTES + 225 * GROUP_BYTES


def test_a_clip_of_the_whole_video_fetches_the_row_groups_of_its_chosen_pictures(
    two_hours: Path, counted_memory: pa.MemoryPool
) -> None:
    storage, clip = CountingStorage(two_hours), span(0, 7_200_000)
    with open_store(storage, "p", "v") as store:
        positions = store.within(clip, clip)
        assert len(positions) == 14_400
        assert len(list(store.jpegs(positions[900::1800]))) == 8
        assert sum(storage.fetched) <= TAIL_BYTES + 8 * GROUP_BYTES
        # `FrameLoader` asks for the times where it selects some of the frames.
        assert store.times(positions).frame.tolist() == positions
        assert sum(storage.fetched) <= TAIL_BYTES + 8 * GROUP_BYTES + 225 * 3000
        assert sum(1 for _ in store.jpegs(positions)) == 14_400
    assert counted_memory.max_memory() <= 3 * MAX_CACHED_GROUPS * GROUP_BYTES


@pytest.mark.parametrize("rows", [2, 100])
def test_a_store_whose_footer_tells_no_times_is_read(tmp_path: Path, rows: int) -> None:
    path = tmp_path / store_path("p", "v")
    path.parent.mkdir(parents=True)
    write(path, range(0, 1000, 10), [str(pts).encode() for pts in range(0, 1000, 10)], rows=rows, has_statistics=False)
    with open_store(Storage(tmp_path), "p", "v") as store:
        positions = store.within(span(155, 180), span(0, 1000))
        assert list(store.jpegs(positions)) == [b"160", b"170"]
        assert (store.end_pts, len(store)) == (991, 100)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store of 40 pictures, ten a row group."""
    path = tmp_path / store_path("p", "v")
    path.parent.mkdir(parents=True)
    write(path, range(40), [str(pts).encode() * 100 for pts in range(40)], rows=10)
    return path


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"not parquet at all", b"PAR1" + bytes(64) + b"PAR1"])
def test_open_store_rejects_a_damaged_footer(path: Path, damage: bytes) -> None:
    path.write_bytes(damage)
    with pytest.raises(StoreDamaged):
        open_store(Storage(path.parents[2]), "p", "v")


@pytest.mark.parametrize("column", [0, 1, 2])
def test_damage_counts_where_it_is_needed_alone(path: Path, column: int) -> None:
    chunk = pq.read_metadata(path).row_group(0).column(column)
    data = bytearray(path.read_bytes())
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    data[start : start + chunk.total_compressed_size] = bytes(chunk.total_compressed_size)
    path.write_bytes(data)
    with open_store(Storage(path.parents[2]), "p", "v") as store:
        assert list(store.jpegs([10, 39])) == [b"10" * 100, b"39" * 100]
        with pytest.raises(StoreDamaged):
            list(store.jpegs([9]))


def test_pages_of_another_store_are_damage(path: Path) -> None:
    """Where a store replaces files in place and does not tell, the times of the pages are not those of the footer."""
    other = io.BytesIO()
    write(other, range(1, 41), [str(pts).encode() * 100 for pts in range(40)], rows=10)
    first = pq.read_metadata(path).row_group(1).column(0).dictionary_page_offset
    assert first == pq.read_metadata(other).row_group(1).column(0).dictionary_page_offset
    path.write_bytes(other.getvalue()[:first] + path.read_bytes()[first:])
    with open_store(Storage(path.parents[2]), "p", "v") as store, pytest.raises(StoreDamaged, match="its footer tells"):
        store.within(span(3, 5), span(0, 40))


def test_open_store_rejects_a_disk_that_does_not_answer(tmp_path: Path) -> None:
    (tmp_path / store_path("p", "v")).mkdir(parents=True)  # reading a folder is an OSError for root too
    with pytest.raises(StageError, match="next run tries again") as caught:
        open_store(Storage(tmp_path), "p", "v")
    assert caught.value.reason is Reason.STORAGE
    with pytest.raises(FileNotFoundError):
        open_store(Storage(tmp_path), "p", "another")


def test_an_open_store_of_a_disk_stays_when_it_is_replaced(path: Path) -> None:
    storage, other = Storage(path.parents[2]), io.BytesIO()
    write(other, range(5), [b"other"] * 5, rows=1)
    with open_store(storage, "p", "v") as store:
        storage.write_bytes(store_path("p", "v"), other.getvalue())
        assert list(store.jpegs([30])) == [b"30" * 100]
    with open_store(storage, "p", "v") as store:
        assert list(store.jpegs([4])) == [b"other"]


@pytest.mark.parametrize("is_deleted", [False, True])
def test_an_open_store_of_an_object_store_is_never_mixed_with_another(tmp_path: Path, is_deleted: bool) -> None:
    storage, file = Storage(f"memory://{tmp_path.name}"), io.BytesIO()
    large = [bytes([pts]) * 50_000 for pts in range(40)]
    write(file, range(40), large, rows=10)
    storage.write_bytes(store_path("p", "v"), file.getvalue())
    with open_store(storage, "p", "v") as store:
        assert list(store.jpegs([35])) == large[35:36]
        if is_deleted:
            storage.delete(store_path("p", "v"))
        else:
            storage.write_bytes(store_path("p", "v"), file.getvalue())
        with pytest.raises(StoreReplaced):
            list(store.jpegs([5]))
