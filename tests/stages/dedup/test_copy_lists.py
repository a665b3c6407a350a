"""Hashes in lists: what is found among them, and what is kept of them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.dedup import copy_hash_index
from stages.dedup.copy_columns import COPIES_FOLDER
from stages.dedup.copy_hash_index import Centres, HashIndex, centres_of, num_centres
from stages.dedup.copy_landmarks import Landmarks
from stages.dedup.copy_lists import CENTRES_FOLDER, HashLists, lists_of, read_centres
from stages.dedup.copy_views import STORED_WINDOWS
from stages.errors import StageError
from stages.storage import Storage
from tests.stages.dedup.random_hashes import RANDOM, landmarks, random_hashes, with_changed_bits


def found_pairs(index: HashIndex, queries: np.ndarray, radius: int) -> list[list[int]]:
    bounds, bits, columns = index.range_search(queries, radius)
    return np.stack([np.repeat(np.arange(len(queries)), np.diff(bounds)), columns, bits], axis=1).tolist()


def brute_force(stored: np.ndarray, queries: np.ndarray, radius: int) -> list[list[int]]:
    bits = np.unpackbits(np.bitwise_xor(queries[:, None], stored[None]), axis=2).sum(axis=2)
    return [[row, column, bits[row, column]] for row, column in np.argwhere(bits < radius)]


def indexed(hashes: np.ndarray) -> HashIndex:
    centres = Centres(centres_of(hashes))
    return HashIndex(hashes, centres, centres.nearest(hashes))


def test_index_that_looks_into_all_lists_finds_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy_hash_index, "ADDED_AT_ONCE", 77)
    monkeypatch.setattr(copy_hash_index, "LISTS_LOOKED_AT", 64)
    stored = random_hashes(200)
    queries = np.concatenate([with_changed_bits(stored[:150], share) for share in (0.0, 0.1, 0.2, 0.3)])
    index = indexed(stored)
    assert num_centres(len(stored)) <= copy_hash_index.LISTS_LOOKED_AT
    expected = brute_force(stored, queries, 85)
    assert len(expected) > 500
    assert sorted(found_pairs(index, queries, 85)) == expected


@pytest.mark.parametrize(("flat_centres", "num_levels"), [(4096, 1), (128, 2), (24, 3)])
def test_index_finds_nearly_all_that_is_near_in_any_order(
    flat_centres: int, num_levels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With centres that are all compared, and with some that are found by lists."""
    monkeypatch.setattr(copy_hash_index, "FLAT_CENTRES", flat_centres)
    monkeypatch.setattr(copy_hash_index, "LIST_CENTRES", 16)
    stored = random_hashes(8000)
    queries = np.concatenate([with_changed_bits(stored[:300], share) for share in (0.02, 0.05, 0.08)])
    wanted = {(row, row % 300) for row in range(len(queries))}
    centres = Centres(centres_of(stored))
    assert (len(centres.levels), len(centres) > 5 * copy_hash_index.LISTS_LOOKED_AT) == (num_levels, True)
    found = {(row, column) for row, column, _ in found_pairs(indexed(stored), queries, 85)}
    assert len(wanted & found) >= 0.9 * len(wanted)
    order = RANDOM.permutation(len(stored))
    again = found_pairs(indexed(stored[order]), queries, 85)
    assert {(row, int(order[column])) for row, column, _ in again} == found


def test_lists_keep_their_length_where_there_are_very_many_centres() -> None:
    """Up to a million hashes centres grow with the root of their number, and from there on with it."""
    assert [len(centres_of(random_hashes(count))) for count in (1, 100, 400, 1600)] == [1, 40, 80, 160]
    assert len(centres_of(np.zeros((100, 32), np.uint8))) == 1
    most = (copy_hash_index.FLAT_CENTRES / copy_hash_index.CENTRES) ** 2
    assert [round(count * most / num_centres(int(count * most))) for count in (0.25, 1, 16, 256)] == [
        128,
        256,
        256,
        256,
    ]


def test_nearest_centres_are_those_of_brute_force() -> None:
    hashes = random_hashes(500)
    centres = Centres(centres_of(hashes))
    bits = np.unpackbits(hashes[:, None] ^ centres.hashes[None], axis=2).sum(axis=2)
    assert (bits[np.arange(500), centres.nearest(hashes)] == bits.min(axis=1)).all()


def listed(storage: Storage, made: Landmarks, count: int) -> HashLists:
    """The lists of the first clips."""
    some = made.clip < count
    keys = pa.array([f"key{number}" for number in range(count)])
    return lists_of(storage, keys, np.arange(count), Landmarks(made.clip[some], made.hashes[some]))


def test_lists_are_kept_and_of_new_clips_alone_looked_for(tmp_path: Path) -> None:
    storage, made = Storage(tmp_path), landmarks(40, len(STORED_WINDOWS), random_hashes(60))
    first = listed(storage, made, 30)
    folder = tmp_path / COPIES_FOLDER
    before = {path: path.read_bytes() for path in folder.rglob("*.parquet")}
    more = listed(storage, made, 40)
    assert {path: path.read_bytes() for path in before} == before
    (added,) = {*folder.rglob("*.parquet")} - {*before}
    assert pq.read_table(added)["key"].to_pylist() == [f"key{number}" for number in range(30, 40)]
    assert (more.path, more.numbers[:150].tolist()) == (first.path, first.numbers.tolist())
    for window, centres in enumerate(more.centres):
        assert centres.hashes.tolist() == centres_of(made.hashes[:150, window]).tolist()
        assert (more.numbers[:, window] == centres.nearest(made.hashes[:, window])).all()


def test_lists_that_are_lost_are_made_again(tmp_path: Path) -> None:
    storage, made = Storage(tmp_path), landmarks(10, len(STORED_WINDOWS), random_hashes(20))
    first = listed(storage, made, 10)
    (lists,) = (tmp_path / COPIES_FOLDER).glob("lists-*/*.parquet")
    lists.write_bytes(lists.read_bytes()[:100])
    assert listed(storage, made, 10).numbers.tolist() == first.numbers.tolist()
    storage.write_bytes(first.path, b"PAR1 and no more")
    with pytest.raises(StageError, match="gone or damaged"):
        read_centres(storage, first.path)
    assert listed(storage, made, 10).numbers.tolist() == first.numbers.tolist()


def test_centres_are_chosen_anew_as_the_library_grows_and_those_of_long_ago_leave(tmp_path: Path) -> None:
    storage, made = Storage(tmp_path), landmarks(200, len(STORED_WINDOWS), random_hashes(60))
    sizes = []
    for count in (4, 16, 17, 68, 200):
        listed(storage, made, count)
        names = [path.name for path in (tmp_path / CENTRES_FOLDER).glob("*.parquet")]
        sizes.append(sorted(int(name.partition("-")[0]) // 5 for name in names))
    assert sizes == [[4], [4], [4, 17], [4, 17], [17, 200]]
    assert len({path.parent for path in (tmp_path / COPIES_FOLDER).glob("lists-*/*.parquet")}) == len(sizes[-1])
