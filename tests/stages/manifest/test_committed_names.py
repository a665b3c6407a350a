"""Which partitions have a commit: told from names, in requests that do not grow with the row files."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from botocore.awsrequest import AWSRequest

from stages.manifest import ManifestRef, RowWriter, commit_table, committed_names, committed_partitions
from stages.storage import Storage
from stages.storage.locations import open_filesystem

ASSET = "clips"


def write_table(storage: Storage, partition: str, *, num_files: int = 1, is_committed: bool = True) -> None:
    """A table of one item a row file."""
    ref = ManifestRef(storage.root, ASSET, partition)
    writer = RowWriter(storage, ref, decision_key="d", lineage={})
    for number in range(num_files):
        row = {"partition": partition, "video_id": "v", "clip_id": f"c{number}", "row_key": f"{number}"}
        writer.append(f"{number}", [{**row, "status": "kept"}])
        writer.flush()
    if is_committed:
        commit_table(storage, ref, writer.files, {})


@contextmanager
def counted_requests(storage: Storage) -> Iterator[Callable[[], int]]:
    """How many requests the store was sent in the block."""
    filesystem, _ = open_filesystem(storage.root)
    filesystem.connect()
    urls: list[str] = []

    def note(request: AWSRequest, **_: object) -> None:
        urls.append(str(request.url))

    filesystem.s3.meta.events.register("before-send.s3", note)
    try:
        yield lambda: len(urls)
    finally:
        filesystem.s3.meta.events.unregister("before-send.s3", note)


@pytest.fixture(params=["folder", "bucket"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    is_folder = request.param == "folder"
    return Storage(tmp_path if is_folder else f"{request.getfixturevalue('s3_bucket')}/root")


def test_only_partitions_with_a_commit_are_told(storage: Storage) -> None:
    assert committed_partitions(storage, ASSET) == []
    for name in ("b", "a", "c"):
        write_table(storage, name)
    write_table(storage, "begun", is_committed=False)
    storage.write_bytes(f"manifests/{ASSET}/stray/_commits/notes.txt", b"of a file manager")
    storage.write_bytes(f"manifests/{ASSET}/file", b"")
    assert committed_partitions(storage, ASSET) == ["a", "b", "c"]


def test_a_table_whose_run_was_killed_before_its_name_was_noted_is_told(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table(storage, "a")
    write_table(storage, "b")
    for name in ("a", "b"):  # as in a root of an earlier release
        storage.delete(f"committed/{ASSET}/{name}")
    assert committed_partitions(storage, ASSET) == ["a", "b"]
    write_table(storage, "begun", is_committed=False)
    monkeypatch.setattr(committed_names, "MAX_LOOKED_AT", 1)
    assert committed_partitions(storage, ASSET) == ["a", "b"]


def test_a_table_that_was_removed_by_hand_is_not_told(storage: Storage) -> None:
    write_table(storage, "a")
    write_table(storage, "b")
    # This server lists a folder that was emptied, so that its name has to go too.
    for info in storage.list(f"manifests/{ASSET}/a"):
        storage.delete(info.path)
    storage.delete(f"committed/{ASSET}/a")
    assert committed_partitions(storage, ASSET) == ["b"]


def test_requests_do_not_grow_with_row_files(s3_bucket: str) -> None:
    """A page of the server holds a thousand files: all of them would take two requests."""
    storage = Storage(f"{s3_bucket}/root")
    for number in range(4):
        write_table(storage, f"{number}")
        for row_file in range(300):
            storage.write_bytes(f"manifests/{ASSET}/{number}/rows-{row_file}.parquet", b"")
    with counted_requests(storage) as count:
        assert len(storage.list(f"manifests/{ASSET}")) == 4 * 302
        everything = count()
        assert committed_partitions(storage, ASSET) == ["0", "1", "2", "3"]
        assert (everything, count() - everything) == (2, 2)  # one for the folders, and one for the names
