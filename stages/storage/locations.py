"""Where files lie: local paths and URLs, told apart and opened.

Local paths never pass through URL parsing, so that names with ``%``, ``#``, ``::`` or a newline are like any other.
"""

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from stages.errors import ParamsError
from stages.storage.calls import client_options

_LOCAL_SCHEMES = ("file://", "local://")
_PROCESS_SCHEME = "memory://"


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


def is_in_process(location: str) -> bool:
    """True where no other process sees what lies there."""
    return location.startswith(_PROCESS_SCHEME)


def normalize(location: str | os.PathLike[str]) -> str:
    """An absolute local path, or the URL without a trailing slash. The form in which locations are stored.

    Raises:
        ParamsError: the location is empty, which would be the current folder.
    """
    text = os.fspath(location)
    for scheme in _LOCAL_SCHEMES:
        text = text.removeprefix(scheme)
    if not text:
        raise ParamsError("A place must be a folder, a file or a URL, got an empty text. Name it.")
    if is_url(text):
        return text.rstrip("/")
    return os.path.abspath(os.path.expanduser(text))


def local_path(uri: str) -> Path | None:
    """The path of a source on this machine's disks, else None."""
    return None if is_url(uri) else Path(uri)


def open_filesystem(location: str) -> tuple[Any, str]:
    """The fsspec file system of a normalized location, and the location as that file system names it.

    Raises:
        ParamsError: the protocol is unknown or its package is missing.
    """
    if not is_url(location):
        return LocalFileSystem(), location
    protocol = location.partition("://")[0]
    try:
        filesystem = fsspec.filesystem(protocol, **client_options(protocol))
    except (ImportError, ValueError) as error:
        raise ParamsError(
            f"{location} requires the fsspec protocol {protocol!r}: {error}. "
            "Install the extra that brings it (s3: pip install 'curator-dagster[s3]')."
        ) from error
    if protocol in ("s3", "s3a"):
        filesystem.retries = 1  # s3fs takes no argument for it; see `stages.store_calls`
    return filesystem, filesystem._strip_protocol(location)


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


def find(filesystem: Any, base: str) -> dict[str, Any]:
    """What a store lists below a folder now, by name; empty where nothing is."""
    filesystem.invalidate_cache()
    try:
        return filesystem.find(base, detail=True)
    except FileNotFoundError:
        return {}
