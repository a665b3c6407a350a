"""The root of manifests, frame stores and the dataset: files are listed, read, and written whole or not at all.

On an object store each operation is retried after transient errors, see `stages.storage.retried_calls`. On a local
disk, see `stages.storage.local_files`, the first error is raised.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import IO, TypeVar

from fsspec.callbacks import Callback
from fsspec.implementations.local import LocalFileSystem

from stages import heartbeat
from stages.errors import ParamsError
from stages.storage import local_files
from stages.storage.locations import (
    FileInfo,
    find_files,
    find_folders,
    normalize_location,
    open_filesystem,
    remote_file_info,
)
from stages.storage.ranged_file import RangedFile
from stages.storage.retried_calls import call_with_retries, is_transient, upload_options
from stages.storage.source_files import read_range

T = TypeVar("T")


class FileReplaced(OSError):
    """The file is no longer the one that was opened."""


class Storage:
    """Files below a root: manifests, frame stores, the dataset.

    Cheap to pickle: only the root is sent to workers, each of which opens its own connection.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = normalize_location(root)
        self._fs, self._base = open_filesystem(self.root)

    def __reduce__(self) -> tuple[type["Storage"], tuple[str]]:
        return Storage, (self.root,)

    def __repr__(self) -> str:
        return f"Storage({self.root!r})"

    @property
    def is_local(self) -> bool:
        """True where the root is on a local disk."""
        return isinstance(self._fs, LocalFileSystem)

    def location(self, path: str) -> str:
        """The full path or URL of a file below the root."""
        return f"{self.root}/{path}"

    def _full_path(self, path: str) -> str:
        if path.startswith("/") or ".." in path.split("/"):
            raise ParamsError(f"A path below {self.root} must not leave it, got {path!r}.")
        return f"{self._base}/{path}"

    def _call_store(self, operation: str, call: Callable[[], T]) -> T:
        """The result of a call of the file system, retried where it is a store."""
        return call() if self.is_local else call_with_retries(call, store=self.root, operation=operation)

    def exists(self, path: str) -> bool:
        """True where the file exists.

        Raises:
            StorageError: the store does not answer. The same holds for all methods below.
        """
        full = self._full_path(path)
        return bool(self._call_store(f"looking for {path}", lambda: self._fs.exists(full)))

    def read_bytes(self, path: str) -> bytes:
        """Read the whole file.

        Raises:
            FileNotFoundError: it is not there.
        """
        full = self._full_path(path)
        if self.is_local:
            with open(full, "rb") as handle:
                return handle.read()
        return self._call_store(f"reading {path}", lambda: self._fs.cat_file(full))

    @contextlib.contextmanager
    def open(self, path: str) -> Iterator[IO[bytes]]:
        """Open the file as a seekable file that is read by ranges, all from the version that was opened.

        Raises:
            FileNotFoundError: it is not there.
            FileReplaced: while reading; the file was replaced or deleted since it was opened. Not on a local disk,
                where an open file stays.
        """
        full = self._full_path(path)
        if self.is_local:
            with open(full, "rb") as handle:
                yield handle
            return
        self._fs.invalidate_cache()
        etag = self._etag(path)
        remote = self._call_store(f"opening {path}", lambda: self._fs.open(full, "rb", cache_type="none"))

        def fetch(start: int, end: int) -> bytes:
            message = f"{self.location(path)} was replaced or deleted while it was read"
            try:
                data = self._call_store(f"reading {path}", lambda: read_range(remote, start, end))
                current_etag = self._etag(path)
            except OSError as error:
                # FileExpired is a class of s3fs, which need not be installed.
                if isinstance(error, FileNotFoundError) or type(error).__name__ == "FileExpired":
                    raise FileReplaced(message) from error
                raise
            if current_etag != etag:
                raise FileReplaced(message)
            return data

        yield RangedFile(fetch, remote.seek(0, 2))  # type: ignore[misc]  # typeshed's RawIOBase is no IO

    def _etag(self, path: str) -> str:
        """The current content tag of a file; empty on S3, where s3fs makes each range read conditional on the ETag."""
        if "s3" in self._fs.protocol:
            return ""
        full = self._full_path(path)
        self._fs.invalidate_cache()
        return self._call_store(f"looking at {path}", lambda: remote_file_info(full, self._fs.info(full))).etag

    def list(self, prefix: str = "") -> list[FileInfo]:
        """Every file below a folder, at any depth, sorted by path; empty where the folder does not exist."""
        base = self._full_path(prefix).rstrip("/") if prefix else self._base
        start = len(self._base) + 1
        if self.is_local:
            return sorted(local_files.walk(base, start, finished=True), key=lambda info: info.path)
        found = self._call_store(f"listing {prefix or 'the root'}", lambda: find_files(self._fs, base))
        # A store may list a folder that was emptied as an object of its name.
        return [remote_file_info(name[start:], info) for name, info in sorted(found.items()) if name != base]

    def folders(self, prefix: str) -> Sequence[str]:
        """Names of the folders directly in a folder, sorted; none where it does not exist."""
        full = self._full_path(prefix) if prefix else self._base
        if self.is_local:
            return sorted(local_files.folders(full))
        return self._call_store(f"listing {prefix or 'the root'}", lambda: find_folders(self._fs, full))

    def list_unfinished(self, prefix: str) -> Sequence[FileInfo]:
        """Files below a folder that a killed process did not finish, of which `list` says nothing; none on a bucket."""
        start = len(self._base) + 1
        return list(local_files.walk(self._full_path(prefix), start, finished=False)) if self.is_local else []

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write the file so that it appears whole, replacing an existing one."""
        full = self._full_path(path)
        if self.is_local:
            local_files.write(full, data)
        else:
            self._call_store(f"writing {path}", lambda: self._fs.pipe_file(full, data))

    def create_bytes(self, path: str, data: bytes) -> bool:
        """Write the file unless it exists; False where another writer's exists. Exclusive between processes.

        On an object store a try whose answer was lost may have written the file nevertheless, and the clients below
        retry unseen (aiohttp does, on a broken connection). So an existing file with exactly these bytes counts as
        written by this call: a writer that must tell it from an equal one puts a unique token into its bytes.
        """
        full = self._full_path(path)
        if self.is_local:
            return local_files.create(full, data)
        return self._call_store(f"creating {path}", lambda: self._create_object(full, data))

    def _create_object(self, full: str, data: bytes) -> bool:
        try:
            self._fs.pipe_file(full, data, mode="create")
        except FileExistsError:
            return self._fs.cat_file(full) == data
        except OSError as error:
            # Object stores answer a failed precondition with errors of their own; an existing object explains it.
            self._fs.invalidate_cache()
            if is_transient(error) or not self._fs.exists(full):
                raise
            return self._fs.cat_file(full) == data
        return True

    def put_file(self, path: str, local: str | os.PathLike[str]) -> None:
        """Copy a finished local file to `path` so that it appears whole. Sends a heartbeat with each uploaded part."""
        full = self._full_path(path)
        if self.is_local:
            local_files.copy(local, full)
            return
        options = upload_options(self._fs.protocol, os.path.getsize(local))
        beats = Callback(hooks={"beat": _on_upload_progress})
        put = self._fs.put_file
        self._call_store(f"writing {path}", lambda: put(os.fspath(local), full, callback=beats, **options))

    def move(self, source: str, target: str) -> None:
        """Move a file below the root, replacing an existing one; on a local disk in one step.

        On an object store it is copied, by the store itself, and then deleted: killed in between, both are there.

        Raises:
            FileNotFoundError: it is not there.
        """
        source_full, target_full = self._full_path(source), self._full_path(target)
        if self.is_local:
            local_files.move(source_full, target_full)
            return
        # `copy` also accepts folders and hides errors; `cp_file` is what it calls for one file.
        self._call_store(f"copying {source}", lambda: self._fs.cp_file(source_full, target_full))
        self.delete(source)

    def delete(self, path: str) -> None:
        """Remove the file if it exists."""
        full = self._full_path(path)
        with contextlib.suppress(FileNotFoundError):
            self._call_store(f"deleting {path}", lambda: self._fs.rm_file(full))


def _on_upload_progress(size: int | None, value: int) -> None:
    """Called by a client with the total and the uploaded bytes of an upload."""
    heartbeat.beat()
