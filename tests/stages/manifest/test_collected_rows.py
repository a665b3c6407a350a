"""Rows of very many tables are collected: they are those of the commits, whatever was collected, lost or damaged."""

from pathlib import Path

import pyarrow as pa
import pytest

from stages.errors import ManifestError
from stages.manifest import (
    COLLECTED_FOLDER,
    COMMIT_COLUMN,
    ManifestRef,
    committed_partitions,
    last_commit,
    load_commit,
    read_commit,
    read_kept_rows,
    uncurrent_files,
)
from stages.storage import Storage
from tests.made_tables import commit_items

COLUMNS = ["partition", "clip_id", "row_key"]


def add(root: Path, partition: str, *clips: str) -> None:
    """A new version of a partition; of clips with a "-" before their names, the rows are rejected."""
    items = [
        (name, [{"partition": partition, "clip_id": name, "status": "rejected" if name.startswith("-") else "kept"}])
        for name in clips
    ]
    commit_items(ManifestRef(str(root), "filtered_clips", partition), items)


def expected(root: Path, wanted: dict[str, int | None]) -> list[dict[str, object]]:
    storage, rows = Storage(root), []
    for partition, number in wanted.items():
        ref = ManifestRef(str(root), "filtered_clips", partition)
        commit = load_commit(storage, ref, number) if number else last_commit(storage, ref)
        assert commit is not None
        table = read_commit(storage, ref, commit, [*COLUMNS, "status"])
        rows += [
            {**{name: row[name] for name in COLUMNS}, COMMIT_COLUMN: commit.number}
            for row in table.to_pylist()
            if row["status"] == "kept"
        ]
    return sorted(rows, key=str)


def check(root: Path, wanted: dict[str, int | None] | None = None, *, may_write: bool = True) -> None:
    wanted = wanted or dict.fromkeys(committed_partitions(Storage(root), "filtered_clips"))
    table, versions = read_kept_rows(Storage(root), "filtered_clips", wanted, COLUMNS, may_write=may_write)
    rows = expected(root, wanted)
    assert sorted(table.to_pylist(), key=str) == rows
    assert table.schema.names == [*COLUMNS, COMMIT_COLUMN]
    for row in rows:
        assert versions[str(row["partition"])] == row[COMMIT_COLUMN]


def files(root: Path) -> list[Path]:
    return sorted((root / COLLECTED_FOLDER).rglob("*.parquet"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(5):
        add(tmp_path, f"p{number}", *(f"c{number}{each}" for each in range(number)), f"-x{number}")
    return tmp_path


def test_rows_are_those_of_the_commits_and_are_read_once(root: Path) -> None:
    check(root)
    assert len(files(root)) == 1
    for path in root.glob("manifests/*/*/*.parquet"):
        path.rename(path.with_suffix(".away"))
    found, _ = read_kept_rows(Storage(root), "filtered_clips", dict.fromkeys(["p4", "p2"]), COLUMNS)
    assert sorted(found["clip_id"].to_pylist()) == ["c20", "c21", "c40", "c41", "c42", "c43"]


def test_what_is_new_is_added_and_files_are_merged_as_they_grow(root: Path) -> None:
    check(root)
    for number in range(5, 30):
        add(root, f"p{number}", f"c{number}")
        check(root)
    check(root)
    used = len(files(root)) - len(uncurrent_files(Storage(root)))
    assert 1 <= used <= 6, "of 35 rows, added one by one"


def test_a_new_version_is_read_and_an_old_one_when_it_is_asked_for(root: Path) -> None:
    check(root)
    add(root, "p3", "other")
    check(root)
    check(root, {"p3": 1, "p1": None})
    check(root)


def test_a_table_that_was_made_anew_under_the_same_number_is_read_again(root: Path) -> None:
    check(root)
    for path in (root / "manifests/filtered_clips/p2/_commits").iterdir():
        path.unlink()
    add(root, "p2", "another", "third")
    check(root)


@pytest.mark.parametrize("harm", [b"", b"PAR1", b"changed"])
def test_what_is_damaged_is_read_from_the_commits(root: Path, harm: bytes) -> None:
    check(root)
    (path,) = files(root)
    whole = path.read_bytes()
    path.write_bytes(harm if harm != b"changed" else whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
    check(root)
    assert files(root) == [path]
    assert path.read_bytes() == whole


def test_nothing_is_written_where_it_may_not(root: Path) -> None:
    check(root, may_write=False)
    assert files(root) == []


def test_a_table_that_is_not_there_is_named(root: Path) -> None:
    with pytest.raises(ManifestError, match="Nothing is committed for filtered_clips of partition 'p9'"):
        read_kept_rows(Storage(root), "filtered_clips", {"p1": None, "p9": None}, COLUMNS)


def test_no_rows_have_the_schema_of_rows(root: Path) -> None:
    table, _ = read_kept_rows(Storage(root), "filtered_clips", {"p0": None}, COLUMNS)
    assert table.schema == pa.schema([*((name, pa.string()) for name in COLUMNS), (COMMIT_COLUMN, pa.int64())])
    assert len(table) == 0
