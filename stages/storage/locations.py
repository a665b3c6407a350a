"""Locations of files, local paths or URLs: their normal form, their fsspec file systems, sizes and content tags.

Local paths never go through URL parsing, so that names with ``%``, ``#``, ``::`` or a newline work like any other.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from stages.errors import ParamsError
from stages.storage.retried_calls import client_options

_LOCAL_SCHEMES = ("file://", "local://")
_MEMORY_SCHEME = "memory://"
_NUMBERED = re.compile(r"([1-9][0-9]*)\.json")


@dataclass(frozen=True, slots=True)
class FileInfo:
    """One object of a listing.

    Attributes:
        path: below the storage's root, with "/" between parts.
        size_bytes: its size.
        etag: content tag: the store's ETag, or size and modification time.
        modified_s: modification time in seconds since 1970; None where the store gives none.
    """

    path: str
    size_bytes: int
    etag: str
    modified_s: float | None


def is_url(location: str) -> bool:
    """True for ``protocol://...``; everything else is a local path."""
    head, separator, _ = location.partition("://")
    return bool(separator) and head.replace("+", "").isalnum()


def is_in_memory(location: str) -> bool:
    """True for a location in the memory of this process, which no other process sees."""
    return location.startswith(_MEMORY_SCHEME)


def normalize_location(location: str | os.PathLike[str]) -> str:
    """The form in which locations are stored: an absolute local path, or a URL without a trailing slash.

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
    """The path of a source on a local disk; None for a URL."""
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
        filesystem.retries = 1  # s3fs has no argument for it; see `stages.storage.retried_calls`
    return filesystem, filesystem._strip_protocol(location)


def local_file_info(full: str | os.DirEntry[str], path: str) -> FileInfo:
    """Size, content tag and modification time of a local file, to the nanosecond.

    Raises:
        FileNotFoundError: it is not there.
    """
    stat = os.stat(full)
    return FileInfo(path, stat.st_size, f"{stat.st_size}-{stat.st_mtime_ns}", stat.st_mtime)


def remote_file_info(path: str, info: dict[str, Any]) -> FileInfo:
    """Size, content tag and modification time in an entry that fsspec lists."""
    modified = info.get("mtime") or info.get("LastModified") or info.get("created")
    seconds = modified.timestamp() if isinstance(modified, datetime) else modified
    size = int(info.get("size") or 0)
    etag = str(info.get("ETag") or info.get("etag") or "").strip('"')
    return FileInfo(path, size, etag or f"{size}-{seconds}", float(seconds) if seconds is not None else None)


def find_files(filesystem: Any, base: str) -> dict[str, Any]:
    """The current files below a folder of a store, by name; empty where there are none."""
    filesystem.invalidate_cache()
    try:
        return filesystem.find(base, detail=True)
    except FileNotFoundError:
        return {}


def find_folders(filesystem: Any, base: str) -> list[str]:
    """Names of the current folders directly below a folder of a store, sorted; none where it does not exist."""
    filesystem.invalidate_cache()
    try:
        found = filesystem.ls(base, detail=True)
    except FileNotFoundError:
        return []
    names = [str(info["name"]).rstrip("/").rpartition("/")[2] for info in found if info["type"] == "directory"]
    return sorted(names)


def file_numbers(files: Iterable[FileInfo]) -> list[int]:
    """The numbers n of all files named ``{n}.json``; other files (of a file manager, a sync tool) are ignored."""
    names = (info.path.rsplit("/", 1)[-1] for info in files)
    return [int(found[1]) for name in names if (found := _NUMBERED.fullmatch(name))]
