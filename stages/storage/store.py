"""The root under which manifests, frames and the dataset lie: list, read, and write so that a file is whole or absent.

On an object store each operation is tried again while the store is away, see `stages.store_calls`; a local disk says
at once what is wrong. Sources are read by `open_source` and `stat_source`, which stand here too.
"""

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import IO, TypeVar

from fsspec.callbacks import Callback
from fsspec.implementations.local import LocalFileSystem

from stages import heartbeat
from stages.errors import ParamsError
from stages.storage.calls import may_pass, try_again, upload_options
from stages.storage.locations import (
    FileInfo,
    file_info,
    find,
    is_in_process,
    is_url,
    local_info,
    local_path,
    normalize,
    open_filesystem,
)
from stages.storage.ranged_file import RangedFile
from stages.storage.source_files import open_source, read_range, stat_source

__all__ = [
    "FileInfo",
    "FileReplaced",
    "Storage",
    "digest",
    "file_info",
    "find",
    "is_in_process",
    "is_url",
    "local_info",
    "local_path",
    "normalize",
    "numbers_of",
    "open_filesystem",
    "open_source",
    "stat_source",
]

T = TypeVar("T")


class FileReplaced(OSError):
    """The file is not the one any more that was opened."""


_TEMPORARY = ".tmp-"
"""Names of files that are being written begin so; no listing shows them."""

_NUMBERED = re.compile(r"([1-9][0-9]*)\.json")


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

    def _call(self, operation: str, call: Callable[[], T]) -> T:
        """What the client's call returns, tried again while its store is away."""
        return call() if self.is_local else try_again(call, store=self.root, operation=operation)

    def exists(self, path: str) -> bool:
        """True where the file is there.

        Raises:
            StorageError: the store does not answer, as in everything below.
        """
        full = self._full(path)
        return bool(self._call(f"looking for {path}", lambda: self._fs.exists(full)))

    def read_bytes(self, path: str) -> bytes:
        """The whole file.

        Raises:
            FileNotFoundError: it is not there.
        """
        full = self._full(path)
        return self._call(f"reading {path}", lambda: self._fs.cat_file(full))

    @contextlib.contextmanager
    def open(self, path: str) -> Iterator[IO[bytes]]:
        """The file, seekable, read by ranges, all of them of the file that was opened.

        Raises:
            FileNotFoundError: it is not there.
            FileReplaced: while reading; the file was replaced or deleted since it was opened. Not on a local disk,
                where an open file stays.
        """
        full = self._full(path)
        if self.is_local:
            with open(full, "rb") as handle:
                yield handle
            return
        self._fs.invalidate_cache()
        tag = self._tag(path)
        remote = self._call(f"opening {path}", lambda: self._fs.open(full, "rb", cache_type="none"))

        def fetch(start: int, end: int) -> bytes:
            told = f"{self.location(path)} was replaced or deleted while it was read"
            try:
                data = self._call(f"reading {path}", lambda: read_range(remote, start, end))
                now = self._tag(path)
            except OSError as error:
                # FileExpired is of s3fs, which need not be installed.
                if isinstance(error, FileNotFoundError) or type(error).__name__ == "FileExpired":
                    raise FileReplaced(told) from error
                raise
            if now != tag:
                raise FileReplaced(told)
            return data

        yield RangedFile(fetch, remote.seek(0, 2))  # type: ignore[misc]  # typeshed's RawIOBase is no IO

    def _tag(self, path: str) -> str:
        """Names the bytes of a file of a store that reads no range on condition of them, as S3 does; else empty."""
        if "s3" in self._fs.protocol:
            return ""
        full = self._full(path)
        self._fs.invalidate_cache()
        return self._call(f"looking at {path}", lambda: file_info(full, self._fs.info(full))).etag

    def list(self, prefix: str = "") -> list[FileInfo]:
        """Every file below a folder, however deep, sorted by path; empty where the folder is missing."""
        base = self._full(prefix).rstrip("/") if prefix else self._base
        start = len(self._base) + 1
        if self.is_local:
            return sorted(_walk_whole_files(base, start), key=lambda info: info.path)
        found = self._call(f"listing {prefix or 'the root'}", lambda: find(self._fs, base))
        return [file_info(name[start:], info) for name, info in sorted(found.items())]

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write the file so that it appears whole, replacing one that is there."""
        full = self._full(path)
        if not self.is_local:
            self._call(f"writing {path}", lambda: self._fs.pipe_file(full, data))
            return
        with self._temporary(full) as temporary:
            _write_and_sync(temporary, data)
            os.replace(temporary, full)
        _sync_folder(full)

    def create_bytes(self, path: str, data: bytes) -> bool:
        """Write the file unless one is there; False where somebody else's is. Exclusive between processes.

        On an object store an attempt whose answer was lost may have written all the same, and clients below this one
        ask again unseen (aiohttp does, on a connection that breaks). So a file that is there and holds these very
        bytes is taken for ours: who must know it from an equal one of another writer puts a mark of its own in.
        """
        full = self._full(path)
        if self.is_local:
            return self._create_local(full, data)
        return self._call(f"creating {path}", lambda: self._create_object(full, data))

    def _create_local(self, full: str, data: bytes) -> bool:
        try:
            with self._temporary(full) as temporary:
                _write_and_sync(temporary, data)
                os.link(temporary, full)
        except FileExistsError:
            return False
        _sync_folder(full)
        return True

    def _create_object(self, full: str, data: bytes) -> bool:
        try:
            self._fs.pipe_file(full, data, mode="create")
        except FileExistsError:
            return self._fs.cat_file(full) == data
        except OSError as error:
            # Object stores answer a failed precondition with errors of their own; an object that is there explains it.
            self._fs.invalidate_cache()
            if may_pass(error) or not self._fs.exists(full):
                raise
            return self._fs.cat_file(full) == data
        return True

    def put_file(self, path: str, local: str | os.PathLike[str]) -> None:
        """Move a finished local file into place so that it appears whole. Beats with each part that is through."""
        full = self._full(path)
        if not self.is_local:
            options = upload_options(self._fs.protocol, os.path.getsize(local))
            beats = Callback(hooks={"beat": _beat})
            put = self._fs.put_file
            self._call(f"writing {path}", lambda: put(os.fspath(local), full, callback=beats, **options))
            return
        with self._temporary(full) as temporary:
            with open(local, "rb") as source, open(temporary, "wb") as target:
                while chunk := source.read(1 << 20):
                    target.write(chunk)
                    heartbeat.beat()
                target.flush()
                os.fsync(target.fileno())
            os.replace(temporary, full)
        _sync_folder(full)

    def delete(self, path: str) -> None:
        """Remove the file; nothing happens where it is not there."""
        full = self._full(path)
        with contextlib.suppress(FileNotFoundError):
            self._call(f"deleting {path}", lambda: self._fs.rm_file(full))

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


def digest(*parts: str, length: int = 20) -> str:
    """First `length` hex digits of the SHA-256 of the parts, each with its length, so that no two lists collide."""
    hasher = hashlib.sha256()
    for part in parts:
        encoded = part.encode("utf-8", "surrogateescape")
        hasher.update(len(encoded).to_bytes(8, "big"))
        hasher.update(encoded)
    return hasher.hexdigest()[:length]


def numbers_of(files: Iterable[FileInfo]) -> list[int]:
    """The n of every file named ``{n}.json``; others, such as a file manager or a sync tool leaves, have none."""
    names = (info.path.rsplit("/", 1)[-1] for info in files)
    return [int(found[1]) for name in names if (found := _NUMBERED.fullmatch(name))]


def _walk_whole_files(base: str, start: int) -> Iterator[FileInfo]:
    """Files below a folder; those that another process is still writing, or removes meanwhile, are not there."""
    for folder, _, names in os.walk(base):
        for name in names:
            full = os.path.join(folder, name)
            if not name.startswith(_TEMPORARY):
                with contextlib.suppress(FileNotFoundError):
                    yield local_info(full, full[start:])


def _beat(size: int | None, value: int) -> None:
    """What a client calls with the bytes of an upload in all and those that are through."""
    heartbeat.beat()


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
