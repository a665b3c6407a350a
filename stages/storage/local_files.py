"""Files on a local disk that appear whole or not at all, and survive a power cut once they are there."""

import contextlib
import os
import tempfile
from collections.abc import Generator, Iterator

from stages import heartbeat
from stages.storage.locations import FileInfo, local_file_info

_TEMPORARY_PREFIX = ".tmp-"
"""Prefix of the names of unfinished files, which no listing contains."""


def walk(base: str, start: int, *, finished: bool) -> Iterator[FileInfo]:
    """Files below a folder, the finished or the other ones, without those that are removed meanwhile.

    Args:
        base: the folder.
        start: length of the beginning of a file's full path that its `FileInfo` leaves out.
        finished: False for those that a killed process left.
    """
    folders = [base]
    while folders:
        for entry in _entries(folders.pop()):
            if entry.is_dir():
                if not entry.is_symlink():
                    folders.append(entry.path)
            elif entry.name.startswith(_TEMPORARY_PREFIX) != finished:
                with contextlib.suppress(FileNotFoundError):
                    yield local_file_info(entry, entry.path[start:])


def folders(folder: str) -> list[str]:
    """Names of the folders in a folder."""
    return [entry.name for entry in _entries(folder) if entry.is_dir()]


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """What is in a folder; nothing where it cannot be listed, as for `os.walk`, which takes twice as long."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return list(entries)
    return []


def write(full: str, data: bytes) -> None:
    """Write a file, replacing an existing one."""
    with _temporary_file(full) as temporary:
        _write_and_sync(temporary, data)
        os.replace(temporary, full)
    _sync_folder(full)


def create(full: str, data: bytes) -> bool:
    """Write a file unless it exists; False where it does. Exclusive between processes."""
    try:
        with _temporary_file(full) as temporary:
            _write_and_sync(temporary, data)
            os.link(temporary, full)
    except FileExistsError:
        return False
    _sync_folder(full)
    return True


def copy(source: str | os.PathLike[str], full: str) -> None:
    """Copy a file, replacing an existing one. Sends a heartbeat with each part."""
    with _temporary_file(full) as temporary:
        with open(source, "rb") as original, open(temporary, "wb") as target:
            while chunk := original.read(1 << 20):
                target.write(chunk)
                heartbeat.beat()
            target.flush()
            os.fsync(target.fileno())
        os.replace(temporary, full)
    _sync_folder(full)


def move(source: str, target: str) -> None:
    """Move a file in one step, replacing an existing one."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    os.replace(source, target)
    _sync_folder(target)
    _sync_folder(source)


@contextlib.contextmanager
def _temporary_file(full: str) -> Generator[str, None, None]:
    """Name of an empty temporary file beside `full`, removed at the end of the block."""
    folder = os.path.dirname(full)
    os.makedirs(folder, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=_TEMPORARY_PREFIX, dir=folder)
    os.close(handle)
    os.chmod(temporary, 0o644)
    try:
        yield temporary
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def _write_and_sync(path: str, data: bytes) -> None:
    with open(path, "wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())


def _sync_folder(full: str) -> None:
    """Make the rename itself survive a power cut."""
    folder = os.open(os.path.dirname(full), os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
