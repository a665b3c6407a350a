"""Publishing: the folder ``dataset/`` holds exactly the files that the newest version of the root names.

Workers write into ``former/``. Once the tables of a run are committed, publishing moves their files to ``dataset/``,
writes the index, creates the version, and moves what this version does not name to ``former/``, where readers of older
versions find it. One process at a time publishes, see `stages.storage.lease`. Killed anywhere, it has moved no file
away that the newest version names: a file leaves ``dataset/`` only after the version that no longer names it exists.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import pyarrow as pa

from stages import heartbeat
from stages.errors import PhaseError
from stages.manifest import Commit, ManifestRef, RootVersion, load_commit, newest_tables, publish_version, read_commit
from stages.storage import Lease, Storage, exclusive, map_concurrently
from stages.write.index import write_index
from stages.write.paths import (
    DATASET_FOLDER,
    FORMER_FOLDER,
    PATH_COLUMNS,
    dataset_location,
    former_location,
    is_clip_file,
    relative_path,
)

LEASE_FOLDER = "leases/dataset"
README = """# A dataset of video clips

One MP4 a clip, with a WebP preview and a JSON of all its columns beside it, in a folder a partition. `index/` has one
Parquet file a partition, with a row a clip: `path`, `preview_path` and `metadata_path` are relative to this folder,
which can be moved; `uri` is the source that the clip was cut from.

    import pyarrow.dataset as ds
    clips = ds.dataset("index", format="parquet").to_table(columns=["path", "caption", "duration_s"]).to_pylist()

Every clip here belongs to the newest version. Those of older versions lie in `former/`, beside this folder.
`curator_dagster.open_dataset`, given this folder, is a dataset of torch with decoded frames and captions.
"""


@dataclass(frozen=True)
class _Partition:
    """A partition that is published: the commit of its table, the files that this names, and those that are there."""

    ref: ManifestRef
    commit: Commit
    named: set[str]
    in_dataset: set[str]
    in_former: set[str]

    @property
    def lost(self) -> set[str]:
        """Files that the table names and that are nowhere."""
        return self.named - self.in_dataset - self.in_former


def publish(storage: Storage, outputs: Collection[ManifestRef]) -> RootVersion:
    """Publish the newest tables of these partitions of ``dataset`` as a version of the root.

    Raises:
        PhaseError: a file that a table names is nowhere; the other partitions are published.
        StorageError: the root does not answer, or this process was stopped for so long that it lost the lease.
    """
    with exclusive(storage, LEASE_FOLDER) as lease:
        tables = newest_tables(storage, [output.partition for output in outputs])
        partitions = [_read_partition(storage, output, tables["dataset"][output.partition]) for output in outputs]
        complete = [each for each in partitions if not each.lost]
        for each in partitions:
            if each.lost:
                del tables["dataset"][each.ref.partition]
        for each in complete:
            arriving = sorted(each.named - each.in_dataset)
            _move(storage, lease, [(former_location(path), dataset_location(path)) for path in arriving])
            write_index(storage, each.ref, read_commit(storage, each.ref, each.commit))
        _write_readme(storage)
        lease.check()
        withheld = [("dataset", each.ref.partition) for each in partitions if each.lost]
        version = publish_version(storage, tables, withheld)
        for each in complete:
            leaving = sorted(path for path in each.in_dataset - each.named if is_clip_file(path))
            _move(storage, lease, [(dataset_location(path), former_location(path)) for path in leaving])
    _raise_for_lost_files(partitions)
    return version


def present_files(storage: Storage, partition: str, folder: str = DATASET_FOLDER) -> set[str]:
    """Paths of a partition's files in one of the two folders, as rows name them."""
    start = f"{folder}/"
    return {info.path.removeprefix(start) for info in storage.list(f"{folder}/{partition}")}


def named_files(table: pa.Table, partition: str) -> set[str]:
    """The files that the rows of a table name."""
    names = {path for name in PATH_COLUMNS for path in table[name].to_pylist() if path is not None}
    return {relative_path(path, partition) for path in names}


def read_dataset_file(storage: Storage, path: str, partition: str) -> bytes:
    """A file that a row of any version names.

    Raises:
        FileNotFoundError: it is neither in ``dataset/`` nor in ``former/``.
    """
    relative = relative_path(path, partition)
    try:
        return storage.read_bytes(dataset_location(relative))
    except FileNotFoundError:
        return storage.read_bytes(former_location(relative))


def _read_partition(storage: Storage, output: ManifestRef, number: int) -> _Partition:
    """The partition without its rows: a run may publish thousands of partitions."""
    commit = load_commit(storage, output, number)
    return _Partition(
        output,
        commit,
        named_files(read_commit(storage, output, commit, list(PATH_COLUMNS)), output.partition),
        present_files(storage, output.partition),
        present_files(storage, output.partition, FORMER_FOLDER),
    )


def _move(storage: Storage, lease: Lease, moves: list[tuple[str, str]]) -> None:
    def move(paths: tuple[str, str]) -> None:
        lease.check()
        storage.move(*paths)
        heartbeat.beat()

    map_concurrently(move, moves)


def _write_readme(storage: Storage) -> None:
    path, data = dataset_location("README.md"), README.encode()
    if not storage.exists(path) or storage.read_bytes(path) != data:
        storage.write_bytes(path, data)


def _raise_for_lost_files(partitions: Iterable[_Partition]) -> None:
    lost = {each.ref.partition: each.lost for each in partitions if each.lost}
    if lost:
        partition, paths = next(iter(lost.items()))
        count = sum(map(len, lost.values()))
        raise PhaseError(
            f"write: files that rows name must be there, and {count} are gone, the first is {min(paths)} of partition "
            f"{partition!r}: they were removed while the run reused them. No version names them; the next run of "
            "write makes them again."
        )
