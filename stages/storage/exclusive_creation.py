"""Finds out whether a store creates a file for one of several writers only, on which commits, leases and register rely.

A store may take the condition of such a request and not heed it, and a file system may look first and write then. Both
tell every writer that it won, and nobody notices what is overwritten.
"""

import threading
import uuid

from fsspec.spec import AbstractFileSystem

from stages.errors import ParamsError
from stages.storage.locations import open_filesystem
from stages.storage.parallel import MAX_CONCURRENT, map_concurrently
from stages.storage.store import Storage

NUM_RACES = 2
"""Of one at least, all writers of a file system that looks first have looked before the first has written."""


def check_exclusive_creation(storage: Storage) -> None:
    """Check that of several writers of a file one is told that it created it. Writes files and removes them.

    Nothing is done on a local disk, where `Storage.create_bytes` is told by the system call.

    Raises:
        ParamsError: more than one is, or none.
        StorageError: the store does not answer.
    """
    if storage.is_local:
        return
    filesystem, _ = open_filesystem(storage.root)
    if getattr(filesystem.pipe_file, "__func__", None) is AbstractFileSystem.pipe_file:
        raise _refusal(
            storage.root, f"fsspec's {type(filesystem).__name__} looks for the file first and writes it then"
        )
    for _ in range(NUM_RACES):
        num_winners = _race(storage, f"_exclusive-{uuid.uuid4().hex}")
        if num_winners != 1:
            raise _refusal(storage.root, f"{num_winners} of {MAX_CONCURRENT} writers were told that they created one")


def _race(storage: Storage, path: str) -> int:
    """How many of several writers are told that they created a file."""
    start = threading.Barrier(MAX_CONCURRENT)

    def create(number: int) -> bool:
        start.wait()
        return storage.create_bytes(path, str(number).encode())

    try:
        return sum(map_concurrently(create, range(MAX_CONCURRENT)))
    finally:
        storage.delete(path)


def _refusal(root: str, observed: str) -> ParamsError:
    return ParamsError(
        f"The store of {root} must create a file for one writer only, but {observed}. Two runs at once would overwrite "
        "each other's tables unnoticed. Use a store that heeds If-None-Match (AWS S3, Google Cloud Storage and Azure "
        "do; elsewhere look for 'conditional writes' in a newer version, and for a proxy that drops the header), or a "
        "folder on a disk."
    )
