"""Which partitions of an asset have a commit, without a look at the row files, of which there may be very many.

    {root}/committed/{asset}/{partition}   an empty file, written with the first commit of a table, after it

On an object store one request lists a thousand of these, and one as many folders of tables. A partition whose file is
missing is looked at by itself: its run was killed in between, or has committed nothing yet. Local disks have no such
files, since looking there takes no request. Who removes a table by hand removes its file too: some servers go on
listing a folder that was emptied.
"""

from stages.manifest.row_files import ManifestRef
from stages.storage import Storage, file_numbers, map_concurrently

COMMITTED_FOLDER = "committed"
MAX_LOOKED_AT = 256
"""Partitions without a file that are looked at one by one; of more, as in roots from before there were such files, one
listing of everything takes less."""


def note_first_commit(storage: Storage, ref: ManifestRef) -> None:
    """Write down that a table has a commit.

    Raises:
        StorageError: the root does not answer.
    """
    if not storage.is_local:
        storage.write_bytes(f"{COMMITTED_FOLDER}/{ref.asset}/{ref.partition}", b"")


def committed_partitions(storage: Storage, asset: str) -> list[str]:
    """Partitions of an asset that have a commit, sorted by name.

    Raises:
        StorageError: the root does not answer.
    """
    folder = f"manifests/{asset}"
    names = storage.folders(folder)
    if storage.is_local:
        return [name for name in names if _has_commit(storage, f"{folder}/{name}")]
    noted = {info.path.rpartition("/")[2] for info in storage.list(f"{COMMITTED_FOLDER}/{asset}")}
    unknown = [name for name in names if name not in noted]
    if len(unknown) > MAX_LOOKED_AT:
        listed = (info.path.removeprefix(f"{folder}/").split("/") for info in storage.list(folder))
        return sorted({parts[0] for parts in listed if parts[1] == "_commits"})
    has_commit = map_concurrently(lambda name: _has_commit(storage, f"{folder}/{name}"), unknown)
    left_out = {name for name, is_there in zip(unknown, has_commit, strict=True) if not is_there}
    return [name for name in names if name not in left_out]


def _has_commit(storage: Storage, folder: str) -> bool:
    return bool(file_numbers(storage.list(f"{folder}/_commits")))
