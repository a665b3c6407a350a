"""Files under a folder or a bucket: list, read, and write so that a file is whole or absent.

Local paths never pass through URL parsing, so that names with ``%``, ``#``, ``::`` or a newline are like any other.
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from stages.errors import ParamsError, SourceGone, StorageUnavailable

_TEMPORARY = ".tmp-"
"""Names of files that are being written begin so; no listing shows them."""


@dataclass(frozen=True, slots=True)
class FileInfo:
    """One object of a listing.

    Attributes:
        path: below the storage's root, with "/" between parts.
        size_bytes: its size.
        etag: changes when the content does: the store's ETag, or size and modification time.
        modified_s: when it last changed, in seconds since 1970; None where the store does not tell.
    """

    path: str
    size_bytes: int
    etag: str
    modified_s: float | None


def is_url(location: str) -> bool:
    """True for ``protocol://...``; everything else is a local path."""
    head, separator, _ = location.partition("://")
    return bool(separator) and head.replace("+", "").isalnum()


def normalize(location: str | os.PathLike[str]) -> str:
    """An absolute local path, or the URL without a trailing slash. The form in which locations are stored."""
    text = os.fspath(location)
    if text.startswith("file://"):
        text = text.removeprefix("file://")
    if is_url(text):
        return text.rstrip("/")
    return os.path.abspath(os.path.expanduser(text))


def open_filesystem(location: str) -> tuple[Any, str]:
    """The fsspec file system of a normalized location, and the location as that file system names it.

    Raises:
        ParamsError: the protocol is unknown or its package is missing.
    """
    if not is_url(location):
        return LocalFileSystem(), location
    protocol = location.partition("://")[0]
    try:
        filesystem = fsspec.filesystem(protocol)
    except (ImportError, ValueError) as error:
        raise ParamsError(
            f"{location} requires the fsspec protocol {protocol!r}: {error}. "
            "Install the extra that brings it (s3: pip install 'curator-dagster[s3]')."
        ) from error
    return filesystem, filesystem._strip_protocol(location)


class Storage:
    """A root under which manifests, frames and the dataset lie.

    Cheap to pickle: only the root crosses to workers, each opens its own connection.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = normalize(root)
        self._fs, self._base = open_filesystem(self.root)

    def __reduce__(self) -> tuple[type["Storage"], tuple[str]]:
        return Storage, (self.root,)

    def __repr__(self) -> str:
        return f"Storage({self.root!r})"

    @property
    def is_local(self) -> bool:
        """True where files lie on this machine's own disks."""
        return isinstance(self._fs, LocalFileSystem)

    def location(self, path: str) -> str:
        """The full path or URL of a file below the root."""
        return f"{self.root}/{path}"

    def _full(self, path: str) -> str:
        if path.startswith("/") or ".." in path.split("/"):
            raise ParamsError(f"A path below {self.root} must not leave it, got {path!r}.")
        return f"{self._base}/{path}"

    def exists(self, path: str) -> bool:
        """True where the file is there."""
        return bool(self._fs.exists(self._full(path)))

    def read_bytes(self, path: str) -> bytes:
        """The whole file.

        Raises:
            FileNotFoundError: it is not there.
        """
        return self._fs.cat_file(self._full(path))

    @contextlib.contextmanager
    def open(self, path: str) -> Iterator[IO[bytes]]:
        """The file, seekable, read by ranges.

        Raises:
            FileNotFoundError: it is not there.
        """
        with self._fs.open(self._full(path), "rb") as handle:
            yield handle

    def list(self, prefix: str = "") -> list[FileInfo]:
        """Every file below a folder, however deep, sorted by path; empty where the folder is missing."""
        base = self._full(prefix).rstrip("/") if prefix else self._base
        start = len(self._base) + 1
        if self.is_local:
            return sorted(_walk_whole_files(base, start), key=lambda info: info.path)
        self._fs.invalidate_cache()
        try:
            found = self._fs.find(base, detail=True)
        except FileNotFoundError:
            return []
        return [file_info(name[start:], info) for name, info in sorted(found.items())]

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write the file so that it appears whole, replacing one that is there."""
        full = self._full(path)
        if not self.is_local:
            self._fs.pipe_file(full, data)
            return
        with self._temporary(full) as temporary:
            _write_and_sync(temporary, data)
            os.replace(temporary, full)
        _sync_folder(full)

    def create_bytes(self, path: str, data: bytes) -> bool:
        """Write the file unless one is there; False where somebody else's is. Exclusive between processes."""
        full = self._full(path)
        try:
            if self.is_local:
                with self._temporary(full) as temporary:
                    _write_and_sync(temporary, data)
                    os.link(temporary, full)
                _sync_folder(full)
            else:
                self._fs.pipe_file(full, data, mode="create")
        except FileExistsError:
            return False
        except OSError:
            # Object stores answer a failed precondition with errors of their own; an object that is there explains it.
            self._fs.invalidate_cache()
            if self.is_local or not self.exists(path):
                raise
            return False
        return True

    def put_file(self, path: str, local: str | os.PathLike[str]) -> None:
        """Move a finished local file into place so that it appears whole."""
        full = self._full(path)
        if not self.is_local:
            self._fs.put_file(os.fspath(local), full)
            return
        with self._temporary(full) as temporary:
            with open(local, "rb") as source, open(temporary, "wb") as target:
                while chunk := source.read(1 << 20):
                    target.write(chunk)
                target.flush()
                os.fsync(target.fileno())
            os.replace(temporary, full)
        _sync_folder(full)

    def delete(self, path: str) -> None:
        """Remove the file; nothing happens where it is not there."""
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(self._full(path))

    @contextlib.contextmanager
    def _temporary(self, full: str) -> Iterator[str]:
        """A name beside `full` that is gone afterwards, whatever happened."""
        folder = os.path.dirname(full)
        os.makedirs(folder, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=_TEMPORARY, dir=folder)
        os.close(handle)
        os.chmod(temporary, 0o644)
        try:
            yield temporary
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)


def local_info(full: str, path: str) -> FileInfo:
    """Size and content tag of a file on this machine's disks, to the nanosecond.

    Raises:
        FileNotFoundError: it is not there.
    """
    stat = os.stat(full)
    return FileInfo(path, stat.st_size, f"{stat.st_size}-{stat.st_mtime_ns}", stat.st_mtime)


def file_info(path: str, info: dict[str, Any]) -> FileInfo:
    """Read a listing entry of an object store."""
    modified = info.get("mtime") or info.get("LastModified") or info.get("created")
    seconds = modified.timestamp() if isinstance(modified, datetime) else modified
    size = int(info.get("size") or 0)
    etag = str(info.get("ETag") or info.get("etag") or "").strip('"')
    return FileInfo(path, size, etag or f"{size}-{seconds}", float(seconds) if seconds is not None else None)


def stat_source(uri: str) -> FileInfo:
    """Size and content tag of a source as it is now.

    Raises:
        SourceGone: it is not there.
        StorageUnavailable: the store does not answer, or refuses.
    """
    filesystem, path = open_filesystem(uri)
    try:
        if local_path(uri):
            return local_info(path, path)
        filesystem.invalidate_cache()
        return file_info(path, filesystem.info(path))
    except FileNotFoundError as error:
        raise SourceGone(
            uri, f"The source was listed and is not there any more: {uri}. List again, or restore the file."
        ) from error
    except OSError as error:
        raise StorageUnavailable(
            uri, f"The source cannot be read: {error}. It is tried again by the next run."
        ) from error


@contextlib.contextmanager
def open_source(uri: str) -> Iterator[IO[bytes]]:
    """A source, seekable and read by ranges, never whole.

    Raises:
        SourceGone: it is not there.
        StorageUnavailable: the store does not answer, or refuses.
    """
    filesystem, path = open_filesystem(uri)
    try:
        handle = filesystem.open(path, "rb")
    except FileNotFoundError as error:
        raise SourceGone(uri, f"The source is not there any more: {uri}. List again, or restore the file.") from error
    except OSError as error:
        raise StorageUnavailable(uri, f"The source cannot be opened: {error}.") from error
    with handle:
        yield handle


def digest(*parts: str, length: int = 20) -> str:
    """First `length` hex digits of the SHA-256 of the parts, each with its length, so that no two lists collide."""
    hasher = hashlib.sha256()
    for part in parts:
        encoded = part.encode("utf-8", "surrogateescape")
        hasher.update(len(encoded).to_bytes(8, "big"))
        hasher.update(encoded)
    return hasher.hexdigest()[:length]


def local_path(uri: str) -> Path | None:
    """The path of a source on this machine's disks, else None."""
    return None if is_url(uri) else Path(uri)


def _walk_whole_files(base: str, start: int) -> Iterator[FileInfo]:
    """Files below a folder; those that another process is still writing, or removes meanwhile, are not there."""
    for folder, _, names in os.walk(base):
        for name in names:
            full = os.path.join(folder, name)
            if not name.startswith(_TEMPORARY):
                with contextlib.suppress(FileNotFoundError):
                    yield local_info(full, full[start:])


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
