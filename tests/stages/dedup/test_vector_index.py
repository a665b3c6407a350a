"""The index of vectors under the root: what is read from row files, what is not, and what becomes of damage."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from stages.dedup import unneeded_files
from stages.dedup.segment_files import KEYS, VECTORS, model_folder
from stages.dedup.vector_index import VectorIndex
from stages.dedup.vector_store import VectorStore
from stages.errors import ManifestError
from stages.maintenance import plan_vacuum, vacuum
from stages.manifest import COMMIT_COLUMN
from stages.storage import Storage, digest
from tests.stages.dedup.tables import Library

FOLDER = model_folder("toy", "0" * 16)
SIZE = 5


def vectors_of(partition: str, count: int) -> dict[str, list[float]]:
    random = np.random.default_rng(len(partition) * 100 + count)
    return {f"{partition}-{number:03d}": row.tolist() for number, row in enumerate(random.normal(size=(count, SIZE)))}


def planned(clips: dict[str, dict[str, list[float]]]) -> tuple[pa.Table, np.ndarray]:
    """What a plan says of these clips by partition, each in its first commit; and their vectors in float64."""
    rows = [
        {"partition": partition, "row_key": digest(name, repr(vector)), COMMIT_COLUMN: 1}
        for partition, vectors in clips.items()
        for name, vector in vectors.items()
    ]
    matrix = np.array([vector for vectors in clips.values() for vector in vectors.values()])
    return pa.Table.from_pylist(rows), matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


@pytest.fixture
def clips() -> dict[str, dict[str, list[float]]]:
    return {"p1": vectors_of("p1", 70), "p22": vectors_of("p22", 3)}


@pytest.fixture
def library(tmp_path: Path, clips: dict[str, dict[str, list[float]]]) -> Library:
    made = Library(tmp_path)
    for partition, vectors in clips.items():
        made.add(partition, vectors)
    return made


def opened(root: str, scratch: Path) -> VectorIndex:
    return VectorIndex(Storage(root), FOLDER, scratch)


def segments(root: Path, suffix: str = VECTORS) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in (root / FOLDER).glob(f"*{suffix}")}


def check(store: VectorStore, expected: np.ndarray) -> None:
    assert store.shape == expected.shape
    np.testing.assert_allclose(store[np.arange(len(store))], expected, atol=1e-6)
    picked = np.array([len(store) - 1, 0, 0, len(store) // 2])
    np.testing.assert_allclose(store[picked], expected[picked], atol=1e-6)


def test_vectors_come_from_the_index_once_they_were_read(
    library: Library, tmp_path: Path, clips: dict[str, dict[str, list[float]]]
) -> None:
    """Row files are taken away after the first run: nothing but the index can tell the vectors."""
    rows, expected = planned(clips)
    check(opened(str(tmp_path), tmp_path).vectors_of(rows), expected)
    for path in tmp_path.glob("manifests/embeddings/*/*.parquet"):
        path.unlink()
    reversed_rows = rows.take(pa.array(np.arange(len(rows))[::-1]))
    check(opened(str(tmp_path), tmp_path).vectors_of(reversed_rows), expected[::-1])
    assert list(segments(tmp_path).values()) == [len(rows) * SIZE * 4]


def test_vectors_are_read_without_writing_them(
    library: Library, tmp_path: Path, clips: dict[str, dict[str, list[float]]]
) -> None:
    rows, expected = planned(clips)
    check(opened(str(tmp_path), tmp_path).read(rows), expected)
    assert segments(tmp_path) == {}
    opened(str(tmp_path), tmp_path).vectors_of(planned({"p1": clips["p1"]})[0])
    for path in tmp_path.glob("manifests/embeddings/p1/*.parquet"):
        path.unlink()
    check(opened(str(tmp_path), tmp_path).read(rows), expected)
    assert list(segments(tmp_path).values()) == [70 * SIZE * 4]
    (name,) = segments(tmp_path)
    with pytest.raises(ManifestError):
        opened(str(tmp_path), tmp_path).read(rows, without=[name.removesuffix(VECTORS)])


def test_only_what_is_new_is_read_and_small_segments_are_merged(
    library: Library, tmp_path: Path, clips: dict[str, dict[str, list[float]]]
) -> None:
    opened(str(tmp_path), tmp_path).vectors_of(planned({"p1": clips["p1"]})[0])
    for path in tmp_path.glob("manifests/embeddings/p1/*.parquet"):
        path.unlink()
    check(opened(str(tmp_path), tmp_path).vectors_of(planned(clips)[0]), planned(clips)[1])
    assert sorted(segments(tmp_path).values()) == [3 * SIZE * 4, 70 * SIZE * 4], "70 are not written again for 3"
    clips["p333"] = vectors_of("p333", 40)
    library.add("p333", clips["p333"])
    rows, expected = planned(clips)
    check(opened(str(tmp_path), tmp_path).vectors_of(rows), expected)
    whole = opened(str(tmp_path), tmp_path).vectors_of(rows)
    assert [len(segment.keys) for segment in whole.segments] == [113]
    superfluous = {info.path.rpartition("/")[2] for info in unneeded_files(Storage(tmp_path), rows["row_key"])}
    assert superfluous == {*segments(tmp_path), *segments(tmp_path, KEYS)} - {
        f"{whole.segments[0].name}{suffix}" for suffix in (KEYS, VECTORS)
    }


@pytest.mark.parametrize("suffix", [KEYS, VECTORS])
@pytest.mark.parametrize("harm", ["lost", "cut", "changed"])
def test_a_lost_or_damaged_segment_is_made_again(
    library: Library, tmp_path: Path, clips: dict[str, dict[str, list[float]]], suffix: str, harm: str
) -> None:
    library.dedup()
    before = library.kept()
    (path,) = (tmp_path / FOLDER).glob(f"*{suffix}")
    whole = path.read_bytes()
    middle = len(whole) // 2
    changed = whole[:middle] + bytes([whole[middle] ^ 0x41]) + whole[middle + 1 :]
    path.write_bytes({"lost": b"", "cut": whole[:-1], "changed": changed}[harm])
    if harm == "lost":
        path.unlink()
    library.dedup(eps=0.07 + 1e-9)  # another parameter, so that it decides again
    assert library.kept() == before
    assert path.read_bytes() == whole, "equal vectors make an equal segment"


def test_a_rebuilt_index_voids_no_decision(library: Library, tmp_path: Path) -> None:
    first = library.dedup()
    for path in (tmp_path / "index").rglob("*.*"):
        path.unlink()
    assert library.dedup().computed == 0
    library.add("p4444", vectors_of("p4444", 2))
    report = library.dedup()
    assert report.counters["dedup_decisions_standing"] == first.rows
    assert report.counters["dedup_vectors_added"] == report.rows


def test_a_vacuum_leaves_what_the_newest_version_was_made_from(
    library: Library, tmp_path: Path, clips: dict[str, dict[str, list[float]]]
) -> None:
    """Segments that were merged into a larger one go; of what is left, the next run reads no row file."""
    storage = Storage(tmp_path)
    library.dedup(["p22"])
    library.dedup()
    age_s = 0.0
    assert plan_vacuum(storage).files["index of dedup"] == [], "files that are young may be in use"
    gone = vacuum(storage, min_age_s=age_s).files["index of dedup"]
    assert len(gone) == 2, "of the segment with one partition"
    assert plan_vacuum(storage, min_age_s=age_s).files["index of dedup"] == []
    for path in tmp_path.glob("manifests/embeddings/*/*.parquet"):
        path.unlink()
    rows, expected = planned(clips)
    check(opened(str(tmp_path), tmp_path).vectors_of(rows), expected)


def test_other_workers_find_the_same_vectors_on_any_store(
    clips: dict[str, dict[str, list[float]]], tmp_path: Path
) -> None:
    root = "memory://index-of-vectors"
    library = Library(root)  # pyrefly: ignore[bad-argument-type]
    for partition, vectors in clips.items():
        library.add(partition, vectors)
    rows, expected = planned(clips)
    scratches = [tmp_path / "one", tmp_path / "other"]
    for scratch in scratches:
        scratch.mkdir()
    index = opened(root, scratches[0])
    layout = index.save_layout(index.vectors_of(rows), "run")
    check(opened(root, scratches[1]).open_layout(layout), expected)
    assert [path.suffix for path in scratches[1].iterdir()] == [VECTORS]
