import io
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.storage.ranged_file import FIRST_RANGE_BYTES, MAX_CACHED_RANGES, MAX_RANGE_BYTES, RangedFile

DATA = random.Random(1).randbytes(3 * FIRST_RANGE_BYTES + 7)


class Store:
    """Bytes that count what is fetched of them."""

    def __init__(self, size: int = len(DATA)) -> None:
        self.size = size
        self.fetched: list[tuple[int, int]] = []

    def __call__(self, start: int, end: int) -> bytes:
        self.fetched.append((start, end))
        return DATA[start:end] if self.size == len(DATA) else bytes(end - start)

    @property
    def num_bytes(self) -> int:
        return sum(end - start for start, end in self.fetched)


@given(st.lists(st.tuples(st.integers(0, len(DATA) + 9), st.integers(0, 2 * FIRST_RANGE_BYTES)), max_size=12))
def test_ranged_file_reads_as_a_file_does(reads: list[tuple[int, int]]) -> None:
    ranged, plain = RangedFile(Store(), len(DATA)), io.BytesIO(DATA)
    for position, length in reads:
        assert ranged.seek(position) == plain.seek(position)
        assert ranged.read(length) == plain.read(length)
        assert ranged.tell() == plain.tell()


def test_ranged_file_fetches_each_byte_once_from_front_to_back() -> None:
    store = Store(50 << 20)
    file = RangedFile(store, store.size)
    while file.read(32 << 10):
        pass
    assert store.num_bytes == store.size
    assert [end - start for start, end in store.fetched[:3]] == [
        FIRST_RANGE_BYTES,
        2 * FIRST_RANGE_BYTES,
        4 * FIRST_RANGE_BYTES,
    ]
    assert max(end - start for start, end in store.fetched) == MAX_RANGE_BYTES


def test_ranged_file_fetches_little_where_it_is_looked_at() -> None:
    store = Store(1 << 30)
    file = RangedFile(store, store.size)
    for position in (0, (1 << 30) - 1000, 500 << 20):
        file.seek(position)
        file.read(100)
    assert store.num_bytes < MAX_CACHED_RANGES * FIRST_RANGE_BYTES


def test_ranged_file_reads_two_places_in_turn() -> None:
    store = Store(64 << 20)
    file = RangedFile(store, store.size)
    for step in range(100):
        for base in (0, 32 << 20):
            file.seek(base + step * 1000)
            file.read(1000)
    assert len(store.fetched) == 2


def test_ranged_file_fails_for_good_and_does_not_end() -> None:
    def broken(start: int, end: int) -> bytes:
        raise OSError("away")

    file = RangedFile(broken, 100)
    for _ in range(2):
        with pytest.raises(OSError, match="away"):
            file.read(10)
    assert str(file.failure) == "away"


def test_ranged_file_rejects_a_place_before_its_start() -> None:
    with pytest.raises(ValueError, match="must be at least 0"):
        RangedFile(Store(), len(DATA)).seek(-1)
