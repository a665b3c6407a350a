"""Takes a source and everything made of it out of a root: rows of every version, frames, clips, its registration.

First the register forgets the source, so that nothing is made of it again. Then the commits of all versions stop naming
its rows, and only then its clips, frames and old row files go: at no moment does a version name a file that is gone.
Members files go last. Until then they tell whose frames to remove, so that a forgetting that was killed is ended by the
next one.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain

from stages.errors import ParamsError
from stages.manifest import (
    ALL,
    ManifestRef,
    SourceRows,
    find_source_rows,
    last_commit,
    load_commit,
    newest_version,
    read_commit,
    remove_from_commits,
)
from stages.schemas import ASSETS
from stages.sources import Register, erase_source, members_files_of
from stages.storage import FileInfo, Storage, exclusive, map_concurrently
from stages.write import DATASET_FOLDER, FORMER_FOLDER, LEASE_FOLDER, index_path, write_index


@dataclass(frozen=True)
class ForgottenSource:
    """What was removed.

    Attributes:
        uri: of the source.
        num_versions: contents that were registered of it.
        rows: number of its rows by asset, in all versions of the table together.
        files: by kind ("clip files", "frame stores"), the files that were removed.
    """

    uri: str
    num_versions: int
    rows: dict[str, int]
    files: dict[str, list[FileInfo]]


def resolve_source(storage: Storage, name: str) -> str:
    """The uri of a source of the root, from the uri itself or, for a local file, from any path that leads to it.

    Raises:
        ParamsError: the root has no such source.
    """
    register = Register(storage)
    paths = [] if "://" in name else [os.path.abspath(name), os.path.realpath(name)]
    for uri in (name, *paths):
        if uri in register.newest_version or register.is_forgotten(uri):
            return uri
    near = get_close_matches(name, register.newest_version, n=2, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}?" if near else "`curator show ROOT videos` lists them."
    raise ParamsError(f"URI must be a source of {storage.root}, got {name!r}. {hint}")


def forget_source(storage: Storage, uri: str) -> ForgottenSource:
    """Remove a source, and let it not be registered again.

    No run should be at work on its partition: what a run commits of it later stays until this is called again.

    Args:
        storage: of the root.
        uri: as `resolve_source` gives it.

    Raises:
        ManifestError: a commit, row file or members file is damaged. Mend that, and call this again.
        StorageError: the root does not answer. What is removed is removed; call this again.
    """
    with exclusive(storage, LEASE_FOLDER) as lease:
        Register(storage).forget(uri)
        members = members_files_of(storage, uri)
        found = [rows for ref in _tables(storage) if (rows := find_source_rows(storage, ref, uri)).files]
        for rows in found:
            lease.check()
            remove_from_commits(storage, rows, uri)
        partitions = sorted({rows.ref.partition for rows in found} - {ALL})
        for partition in partitions:
            _write_index_again(storage, partition)
        video_ids = {
            row["video_id"] for table in members.values() for row in table.to_pylist() if row["uri"] == uri
        }.union(*(rows.video_ids for rows in found))
        files = {
            "clip files": _clip_files(storage, partitions, set().union(*(rows.clip_ids for rows in found))),
            "frame stores": _frame_stores(storage, video_ids),
        }
        for info in chain.from_iterable(files.values()):
            lease.check()
            storage.delete(info.path)
        _delete_row_files(storage, found)
        erase_source(storage, uri, members)
    rows_by_asset = {asset: sum(each.num_rows for each in found if each.ref.asset == asset) for asset in ASSETS}
    return ForgottenSource(uri, len(video_ids), rows_by_asset, files)


def _tables(storage: Storage) -> list[ManifestRef]:
    parts = {tuple(info.path.split("/")[1:3]) for info in storage.list("manifests")}
    return [ManifestRef(storage.root, asset, partition) for asset, partition in sorted(parts) if asset in ASSETS]


def _write_index_again(storage: Storage, partition: str) -> None:
    """Write the index of the version that is in ``dataset/``, where there is one."""
    if not storage.exists(index_path(partition)):
        return
    ref = ManifestRef(storage.root, "dataset", partition)
    version = newest_version(storage)
    number = version.commit_of(ref.asset, partition) if version else None
    commit = load_commit(storage, ref, number) if number else last_commit(storage, ref)
    if commit:
        write_index(storage, ref, read_commit(storage, ref, commit))


def _clip_files(storage: Storage, partitions: Iterable[str], clip_ids: set[str]) -> list[FileInfo]:
    """Files of these clips, named by a row or not."""
    folders = [f"{folder}/{partition}" for folder in (DATASET_FOLDER, FORMER_FOLDER) for partition in partitions]
    return [
        info
        for folder in folders
        for info in storage.list(folder)
        if info.path.rpartition("/")[2].partition("-")[0] in clip_ids
    ]


def _frame_stores(storage: Storage, video_ids: set[str]) -> list[FileInfo]:
    stores = [info for info in storage.list("frames") if info.path.endswith(".parquet")]
    return [info for info in stores if info.path.rpartition("/")[2].removesuffix(".parquet") in video_ids]


def _delete_row_files(storage: Storage, found: Iterable[SourceRows]) -> None:
    map_concurrently(storage.delete, [entry.path for rows in found for entry in rows.files])
