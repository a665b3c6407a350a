"""Takes a source and everything made of it out of a root: rows of every version, frames, clips, its registration.

First the register forgets the source, so that nothing is made of it again. Then the commits of all versions stop naming
its rows, and only then its clips, frames and old row files go: at no moment does a version name a file that is gone.
Members files go last. Until then they tell whose frames to remove, so that a forgetting that was killed is ended by the
next one. Files that a killed writer left unfinished go too, since they may hold parts of it.
"""

import itertools
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from stages.dedup import INDEX_FOLDER
from stages.errors import ParamsError
from stages.manifest import (
    ALL,
    ManifestRef,
    SourceNames,
    find_source_rows,
    is_table,
    last_commit,
    load_commit,
    newest_version,
    read_commit,
    replace_in_commits,
    tables_of,
    write_without_source,
)
from stages.read import erase_fingerprints
from stages.signals import SIGNALS_FOLDER
from stages.sources import Register, erase_source, members_files_of
from stages.storage import FileInfo, Lease, Storage, exclusive, is_url, map_concurrently, normalize_location
from stages.write import DATASET_FOLDER, FORMER_FOLDER, LEASE_FOLDER, index_path, write_index

_MAX_COMPARED = 5_000
"""Names that a wrong name is compared with, at most."""
_FOLDERS_BY_PARTITION = (DATASET_FOLDER, FORMER_FOLDER, "frames", SIGNALS_FOLDER)


@dataclass(frozen=True)
class ForgottenSource:
    """What was removed.

    Attributes:
        uri: of the source.
        num_versions: contents that were registered of it.
        rows: number of its rows by table, in all row files together, those of its copies included.
        files: what was removed, by kind ("clip files", "frame stores", "signals", "score sketches", "index of dedup",
            "unfinished files").
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
    location = normalize_location(name)
    for uri in (name, location, *([] if is_url(location) else [os.path.realpath(location)])):
        if uri in register.newest_version or register.is_forgotten(uri):
            return uri
    near = list(itertools.islice(_similar_uris(name, register.newest_version), 2))
    hint = f"Did you mean {' or '.join(near)}?" if near else "`curator show ROOT videos` lists them."
    raise ParamsError(f"URI must be a source of {storage.root}, got {name!r}. {hint}")


def _similar_uris(name: str, uris: Collection[str]) -> Iterator[str]:
    """Those whose last part is the name's, or resembles it; among very many, resemblance would take minutes."""
    last_part = name.rpartition("/")[2]
    by_last_part = {uri.rpartition("/")[2]: uri for uri in uris}
    close = get_close_matches(last_part, by_last_part) if len(by_last_part) <= _MAX_COMPARED else [last_part]
    return (by_last_part[each] for each in close if each in by_last_part)


def forget_source(storage: Storage, uri: str) -> ForgottenSource:
    """Remove a source, and let it not be registered again.

    No run should be at work: what a run commits of it later stays until this is called again.

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
        registered = frozenset(
            row["video_id"] for table in members.values() for row in table.to_pylist() if row["uri"] == uri
        )
        source = SourceNames(uri, registered)
        found = [rows for ref in _tables(storage) if (rows := find_source_rows(storage, ref, source)).files]
        replacements = {rows.ref: write_without_source(storage, rows, source) for rows in found}
        for ref, replaced in replacements.items():
            lease.check()
            replace_in_commits(storage, ref, replaced, source)
        partitions = sorted({rows.ref.partition for rows in found} - {ALL})
        for partition in partitions:
            lease.check()
            _write_index_again(storage, partition)
        video_ids = registered.union(*(rows.video_ids for rows in found))
        files = {
            "clip files": _clip_files(storage, partitions, set().union(*(rows.clip_ids for rows in found))),
            "frame stores": _files_of_videos(storage, "frames", video_ids),
            "signals": _files_of_videos(storage, SIGNALS_FOLDER, video_ids),
            "score sketches": _score_sketches(storage, partitions),
            "index of dedup": storage.list(INDEX_FOLDER),  # made again of what is left
            "unfinished files": _unfinished_files(storage, [rows.ref for rows in found], partitions),
        }
        _delete(storage, lease, [info.path for info in itertools.chain.from_iterable(files.values())])
        for rows in found:
            replace_in_commits(storage, rows.ref, replacements[rows.ref], source)
            _delete(storage, lease, [entry.path for entry in rows.files])
        lease.check()
        erase_fingerprints(storage, video_ids)
        erase_source(storage, uri, members)
    rows_by_asset = {
        asset: sum(each.num_rows for each in found if each.ref.asset == asset) for asset in tables_of(storage)
    }
    return ForgottenSource(uri, len(video_ids), rows_by_asset, files)


def _tables(storage: Storage) -> list[ManifestRef]:
    paths = [info.path.split("/") for info in storage.list("manifests")]
    tables = sorted({(parts[1], parts[2]) for parts in paths if len(parts) > 3 and is_table(parts[1])})
    return [ManifestRef(storage.root, asset, partition) for asset, partition in tables]


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


def _files_of_videos(storage: Storage, folder: str, video_ids: Collection[str]) -> list[FileInfo]:
    """The files of a folder whose name begins with one of these ids."""
    found = [info for info in storage.list(folder) if info.path.endswith(".parquet")]
    return [info for info in found if info.path.rpartition("/")[2].partition(".")[0] in video_ids]


def _score_sketches(storage: Storage, partitions: Iterable[str]) -> list[FileInfo]:
    """What checks keep of the scores of a table's clips; made again by the next run."""
    names = {f"{partition}.json" for partition in partitions}
    return [info for info in storage.list("checks") if info.path.rpartition("/")[2] in names]


def _unfinished_files(storage: Storage, refs: Iterable[ManifestRef], partitions: Iterable[str]) -> list[FileInfo]:
    """Files that killed writers left in the folders that held the source."""
    folders = [f"{folder}/{partition}" for folder in _FOLDERS_BY_PARTITION for partition in partitions]
    folders += [*(ref.folder for ref in refs), "partitions"]
    return [info for folder in folders for info in storage.list_unfinished(folder)]


def _delete(storage: Storage, lease: Lease, paths: list[str]) -> None:
    def delete(path: str) -> None:
        lease.check()
        storage.delete(path)

    map_concurrently(delete, paths)
