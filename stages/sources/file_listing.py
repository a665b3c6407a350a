"""Listing of files below a folder, a bucket or any other fsspec URL by pages, each with the path where the next begins.

On S3 the pages are those of ``ListObjectsV2``. Everything else is walked folder by folder in the order of the paths, as
if each folder's name ended in "/"; links to folders are followed, see `FolderLinks`, and large folders of other stores
are kept for the next page, see `KeptListings`. A file that is added, replaced or
removed meanwhile does no harm: it is listed, or not, depending on whether the listing has passed its path.
"""

import contextlib
import itertools
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from stages.errors import ParamsError
from stages.sources.folder_links import FolderLinks
from stages.sources.kept_listings import KeptListings
from stages.storage import FileInfo, call_with_retries, is_url, local_file_info, open_filesystem, remote_file_info

logger = logging.getLogger(__name__)

FILES_PER_PAGE = 1_000
"""As many as one answer of S3 holds."""

_LAST_CHARACTER = "\U0010fffd"
"""Sorts after every other character of a name, so that a folder's path with it sorts after all paths in the folder."""


@dataclass(frozen=True, slots=True)
class ListedFile:
    """One file of a listing.

    Attributes:
        path: below the listed folder.
        uri: absolute path, or URL.
        info: returns size, content tag and time; None where it is no regular file or was removed. On a local disk the
            file is read only by this call.
    """

    path: str
    uri: str
    info: Callable[[], FileInfo | None]


@dataclass(frozen=True, slots=True)
class FilePage:
    """Consecutive files of a listing.

    Attributes:
        files: at most `FILES_PER_PAGE`.
        end: the next page begins after this path.
    """

    files: list[ListedFile]
    end: str


@dataclass(frozen=True, slots=True)
class ListingScope:
    """The files of a location to list.

    Attributes:
        after: the `end` of the page after which to continue; empty to begin.
        prefix: of the paths below the location; empty for all.
        excluded_folder: folder that is not listed, as a path below the location that ends in "/".
    """

    after: str = ""
    prefix: str = ""
    excluded_folder: str | None = None

    def may_include_below(self, folder: str) -> bool:
        """False where no file in this folder, whose path ends in "/", is to be listed."""
        overlaps_prefix = folder.startswith(self.prefix) or self.prefix.startswith(folder)
        return (
            overlaps_prefix
            and folder != self.excluded_folder
            and (folder > self.after or self.after.startswith(folder))
        )

    def includes(self, path: str) -> bool:
        """True where this file is to be listed."""
        return path > self.after and path.startswith(self.prefix)


def file_pages(location: str, scope: ListingScope) -> Iterator[FilePage]:
    """List the files in the scope below a normalized location; no page where there are none.

    Args:
        location: folder, file or URL.
        scope: the files to list.

    Raises:
        ParamsError: the location does not exist.
        StorageError: the store does not answer.
    """
    if not is_url(location):
        return _local_pages(location, scope)
    filesystem, base = open_filesystem(location)
    filesystem.invalidate_cache()
    pages = _s3_pages if "s3" in filesystem.protocol else _url_pages
    return pages(_StoreLocation(location, filesystem, base), scope)


@dataclass(frozen=True)
class _StoreLocation:
    """A location on a store.

    Attributes:
        location: the normalized URL.
        filesystem: of fsspec.
        base: the location as the file system names it.
    """

    location: str
    filesystem: Any
    base: str

    def call_store(self, call: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """The answer of a call of the file system, retried after transient errors."""
        return call_with_retries(partial(call, *args, **options), store=self.location, operation="listing")

    def not_found_error(self) -> ParamsError:
        return ParamsError(
            f"SOURCE must be a folder or URL that exists, got {self.location!r}: nothing is there. "
            "Check its name, and create the bucket or folder if it is to be filled later."
        )

    def single_file(self) -> ListedFile | None:
        """The file that the location itself names; None where it names a folder.

        Raises:
            FileNotFoundError: it names neither.
        """
        entry = self.call_store(self.filesystem.info, self.base)
        if entry["type"] == "directory":
            return None
        name = self.base.rsplit("/", 1)[-1]
        return ListedFile(name, self.location, partial(remote_file_info, name, entry))

    def listed_file(self, path: str, entry: dict[str, Any]) -> ListedFile:
        """One file below the location."""
        info = remote_file_info(path, entry)  # now: what the store tells besides takes three times the memory
        return ListedFile(path, f"{self.location}/{path}", lambda: info)


def _s3_pages(store: _StoreLocation, scope: ListingScope) -> Iterator[FilePage]:
    """Pages in the size and order of the server: not every server sorts keys by their characters, so none is sorted."""
    bucket, key, _ = store.filesystem.split_path(store.base)
    prefix = f"{key}/" if key else ""
    end, more = scope.after, True
    while more:
        start = {"StartAfter": prefix + end} if end else {}
        try:
            answer = store.call_store(
                store.filesystem.call_s3,
                "list_objects_v2",
                Bucket=bucket,
                Prefix=prefix + scope.prefix,
                MaxKeys=FILES_PER_PAGE,
                **start,
            )
        except FileNotFoundError as error:
            raise store.not_found_error() from error
        found = {entry["Key"][len(prefix) :]: entry for entry in answer.get("Contents", [])}
        if not found:
            break
        end = next(reversed(found))
        if scope.excluded_folder and end.startswith(scope.excluded_folder):
            end = scope.excluded_folder + _LAST_CHARACTER
        # A key that ends in "/" stands for a folder.
        files = {path: entry for path, entry in found.items() if path and not path.endswith("/")}
        yield FilePage(
            [store.listed_file(path, {**entry, "size": entry["Size"]}) for path, entry in files.items()], end
        )
        more = answer["IsTruncated"]
    if key and not end:
        with contextlib.suppress(FileNotFoundError):  # nothing there
            yield from _single_page(store.single_file(), scope)


def _url_pages(store: _StoreLocation, scope: ListingScope) -> Iterator[FilePage]:
    try:
        single = store.single_file()
    except FileNotFoundError as error:
        raise store.not_found_error() from error
    if single:
        return _single_page(single, scope)
    return _walk_pages(partial(_entries_of_url, store, scope), scope)


def _entries_of_url(store: _StoreLocation, scope: ListingScope, folder: str) -> Sequence["_FolderEntry"]:
    """The entries of a folder, sorted; of a large one that an earlier page was of, as they were then."""
    goes_on = bool(scope.after) and scope.after.startswith(folder)
    return _KEPT.entries(
        f"{store.location}/{folder}", lambda: _sorted_by_path(_scan_url(store, folder)), goes_on=goes_on
    )


def _scan_url(store: _StoreLocation, folder: str) -> Iterator["_FolderEntry"]:
    path = f"{store.base}/{folder}".rstrip("/") if folder else store.base
    try:
        listed = store.call_store(store.filesystem.ls, path, detail=True)
    except FileNotFoundError:  # removed meanwhile
        return
    for info in listed:
        relative = info["name"].rstrip("/").removeprefix(store.base).removeprefix("/")
        if relative == folder.rstrip("/"):  # some stores list the folder itself
            continue
        if info["type"] == "directory":
            yield _FolderEntry(f"{relative}/", None)
        else:
            yield _FolderEntry(relative, store.listed_file(relative, info))


def _local_pages(location: str, scope: ListingScope) -> Iterator[FilePage]:
    if os.path.isfile(location):
        name = os.path.basename(location)
        return _single_page(ListedFile(name, location, partial(_local_file_info, location, name)), scope)
    if not os.path.isdir(location):
        raise ParamsError(f"SOURCE must be a folder, a file or an fsspec URL, got {location!r}: it does not exist.")
    return _walk_pages(partial(_scan_local, location, FolderLinks(location, scope.excluded_folder)), scope)


def _scan_local(location: str, links: FolderLinks, folder: str) -> Iterator["_FolderEntry"]:
    try:
        with os.scandir(os.path.join(location, folder)) as found:
            entries = list(found)
    except (FileNotFoundError, NotADirectoryError):  # removed meanwhile
        return
    except OSError as error:
        logger.warning("Sources below %s are left out: %s.", error.filename, error.strerror)
        return
    for entry in sorted(entries, key=lambda entry: entry.name):
        path = folder + entry.name
        if links.is_folder(entry):
            if links.is_listed_here(entry, path):
                yield _FolderEntry(f"{path}/", None)
        else:
            full = os.path.join(location, path)
            yield _FolderEntry(path, ListedFile(path, full, partial(_local_file_info, full, path)))


def _local_file_info(full: str, path: str) -> FileInfo | None:
    # Broken symbolic links and sockets are left out; a link to a file counts as a file.
    if os.path.isfile(full):
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            return local_file_info(full, path)
    return None


@dataclass(frozen=True, slots=True)
class _FolderEntry:
    """An entry of a folder: its path below the location, which ends in "/" for a folder, and the file otherwise."""

    path: str
    file: ListedFile | None


def _single_page(file: ListedFile | None, scope: ListingScope) -> Iterator[FilePage]:
    if file is not None and scope.includes(file.path):
        yield FilePage([file], file.path)


_KEPT = KeptListings[_FolderEntry]()


def _walk_pages(scan: Callable[[str], Iterable[_FolderEntry]], scope: ListingScope) -> Iterator[FilePage]:
    """The files of a tree of folders, in the order of the paths."""
    files, end = _walk(scan, scope), scope.after
    while page := list(itertools.islice(files, FILES_PER_PAGE)):
        # A position is stored as Unicode text, which not every file name on a disk is.
        end = next((file.path for file in reversed(page) if _is_unicode(file.path)), end)
        yield FilePage(page, end)


def _walk(scan: Callable[[str], Iterable[_FolderEntry]], scope: ListingScope) -> Iterator[ListedFile]:
    folders = [iter(_sorted_by_path(scan("")))]
    while folders:
        entry = next(folders[-1], None)
        if entry is None:
            folders.pop()
        elif entry.file is not None:
            if scope.includes(entry.path):
                yield entry.file
        elif scope.may_include_below(entry.path):
            folders.append(iter(_sorted_by_path(scan(entry.path))))


def _sorted_by_path(entries: Iterable[_FolderEntry]) -> list[_FolderEntry]:
    return sorted(entries, key=lambda entry: entry.path)


def _is_unicode(path: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in path)
