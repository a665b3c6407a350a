"""Reading some columns, or one partition, of a row file: what is returned, how little is read, and what damage does."""

import hashlib
import io
from dataclasses import replace
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from stages.errors import ManifestError
from stages.manifest import ALL, CommittedFile, ManifestRef, RowWriter, commit_table, read_commit, read_row_file
from stages.manifest.projected_reading import footer_hash
from stages.manifest.row_writer import MIN_GROUP_ROWS
from stages.schemas import ASSETS
from stages.storage import Storage
from stages.tasks import Row

COUNT = 3 * MIN_GROUP_ROWS


def written(root: Path | str, rows: list[Row], *items: str) -> CommittedFile:
    """A row file of ``unique_clips`` with all rows in each of these items."""
    writer = RowWriter(Storage(root), ManifestRef(str(root), "unique_clips", ALL), decision_key="d", lineage={})
    for key in items:
        writer.append(key, [{**row, "row_key": key} for row in rows])
    writer.flush()
    return writer.files[0]


def rows_of(count: int, num_partitions: int) -> list[Row]:
    """Rows sorted by partition."""
    return [
        {"partition": f"p{number * num_partitions // count}", "clip_id": f"c{number:06d}", "status": "kept"}
        for number in range(count)
    ]


def test_one_partition_is_read_from_its_row_groups_alone(tmp_path: Path) -> None:
    """Everything in the other two thirds of the file is overwritten, and is not missed."""
    file = written(tmp_path, rows_of(COUNT, 6), "a")
    storage, path = Storage(tmp_path), tmp_path / file.path
    expected = read_row_file(storage, "unique_clips", file, ["clip_id"])["clip_id"].to_pylist()
    whole = path.read_bytes()
    start, footer_bytes = whole.index(b"PAR1") + 4, int.from_bytes(whole[-8:-4], "little") + 8
    harmed = (len(whole) - start - footer_bytes) // 2
    path.write_bytes(whole[:start] + bytes(harmed) + whole[start + harmed :])
    with pytest.raises(ManifestError, match="must be a whole row file"):
        read_row_file(storage, "unique_clips", file, ["clip_id"])
    last = read_row_file(storage, "unique_clips", file, ["clip_id"], "p5")
    assert last["clip_id"].to_pylist() == expected[-COUNT // 6 :]
    assert last.column_names == ["clip_id"]


@pytest.mark.parametrize("in_memory", [False, True])
def test_columns_are_those_of_a_whole_read(tmp_path: Path, in_memory: bool) -> None:
    """Of items that the table does not hold, no row is returned."""
    root = "memory://projected" if in_memory else str(tmp_path)
    file = written(root, rows_of(40, 4), "a", "b")
    for entry, count in ((file, 20), (replace(file, items=["b"]), 10)):
        found = read_row_file(Storage(root), "unique_clips", entry, ["clip_id", "rank", "partition"], "p1")
        whole = read_row_file(Storage(root), "unique_clips", replace(entry, footer_sha256=""))
        assert len(found) == count
        assert found.equals(whole.filter(pc.field("partition") == "p1").select(found.column_names))


@pytest.mark.parametrize("in_memory", [False, True])
def test_files_of_earlier_versions_are_read_alike(tmp_path: Path, in_memory: bool) -> None:
    """They hold dictionaries, statistics and Arrow's own text of a schema, of other order and without some columns."""
    storage, schema = Storage("memory://earlier" if in_memory else tmp_path), ASSETS["filtered_clips"].schema
    row: Row = {"clip_id": "c", "partition": "p", "row_key": "a", "scores": [("motion", 0.5)]}
    table = pa.Table.from_pylist([row] * 3, schema=schema).select(["scores", "row_key", "clip_id", "partition"])
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    data = buffer.getvalue()
    storage.write_bytes("f.parquet", data)
    entry = CommittedFile("f.parquet", hashlib.sha256(data).hexdigest(), "d", ["a"], num_items=1)
    for footer in ("", footer_hash(data)):
        for columns in (["partition", "scores", "flow_mean"], None):
            found = read_row_file(storage, "filtered_clips", replace(entry, footer_sha256=footer), columns, "p")
            names = columns or schema.names
            assert found.schema == pa.schema([schema.field(name) for name in names])
            assert found.to_pylist() == [{name: row.get(name) for name in names}] * 3


@pytest.mark.parametrize("seed", range(2))
def test_damage_is_never_read_as_rows(tmp_path: Path, seed: int) -> None:
    file = written(tmp_path, rows_of(6, 2), "a", "b")
    path, whole = tmp_path / file.path, (tmp_path / file.path).read_bytes()
    names = ["clip_id", "status", "partition"]
    undamaged = read_row_file(Storage(tmp_path), "unique_clips", file, names)
    random, num_errors = Random(seed), 0
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(random.choice([1, 8, 200])):
            damaged[random.randrange(len(damaged))] = random.randrange(256)
        path.write_bytes(damaged[: random.choice([None, None, -1, 100, 3])])
        try:
            rows = read_row_file(Storage(tmp_path), "unique_clips", file, names)
        except ManifestError:
            num_errors += 1
        else:
            assert rows == undamaged
    assert num_errors > 75


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    file = written(tmp_path, rows_of(6, 2), "a")
    (tmp_path / file.path).unlink()
    with pytest.raises(ManifestError, match="is missing"):
        read_row_file(Storage(tmp_path), "unique_clips", file, ["clip_id"])


def test_a_commit_counts_its_rows_without_its_vectors(tmp_path: Path) -> None:
    """Vectors that are damaged on disk are met by who reads them, and by no one else."""
    ref = ManifestRef(str(tmp_path), "embeddings", "p")
    writer = RowWriter(Storage(tmp_path), ref, decision_key="d", lineage={})
    random = Random(3)
    for key in "abc":
        row = {"partition": "p", "clip_id": key, "status": "kept", "row_key": key}
        writer.append(key, [{**row, "embedding": [random.random() for _ in range(2000)]}])
    writer.flush()
    path = tmp_path / writer.files[0].path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1  # nearly all of the file are vectors
    path.write_bytes(data)
    commit = commit_table(Storage(tmp_path), ref, writer.files, {})
    assert commit.counts["kept"] == 3
    with pytest.raises(ManifestError, match="whole row file"):
        read_commit(Storage(tmp_path), ref, commit, ["embedding"])
