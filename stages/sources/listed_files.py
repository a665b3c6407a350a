"""Files below a folder, a bucket or any other fsspec URL, page by page, each page with the place where the next begins.

A bucket on S3 is asked for pages of its own. Everything else is walked folder by folder in the order of the paths, as
if each folder's name ended in "/". What is added, replaced or removed meanwhile disturbs nothing: it is found, or not,
depending on whether its place is passed already.
"""

import contextlib
import itertools
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from stages.errors import ParamsError
from stages.storage import FileInfo, file_info, is_url, local_info, open_filesystem, try_again

logger = logging.getLogger(__name__)

PAGE_FILES = 1_000
"""Of one page: as many as one answer of S3 holds."""

_LAST_CHARACTER = "\U0010fffd"
"""Of those that may stand in a name; what begins with a folder's path comes before that path and this."""


@dataclass(frozen=True, slots=True)
class ListedFile:
    """One file of a listing.

    Attributes:
        path: below the listed folder.
        uri: absolute path, or URL.
        info: size, tag and time; None where it is no file or not there any more. A folder is asked only now.
    """

    path: str
    uri: str
    info: Callable[[], FileInfo | None]


@dataclass(frozen=True, slots=True)
class FilePage:
    """Some files that follow one another.

    Attributes:
        files: at most `PAGE_FILES`.
        end: the path behind which the next page begins.
    """

    files: list[ListedFile]
    end: str


@dataclass(frozen=True, slots=True)
class Part:
    """Which files of a place are asked for.

    Attributes:
        after: the `end` of the page to go on behind; empty to begin.
        prefix: what paths below the location begin with; empty for all.
        hidden: folder, as a path below the location that ends in "/", into which nobody need look.
    """

    after: str = ""
    prefix: str = ""
    hidden: str | None = None

    def may_hold(self, folder: str) -> bool:
        """False where nothing in this folder, whose path ends in "/", is asked for."""
        is_on_the_way = folder.startswith(self.prefix) or self.prefix.startswith(folder)
        return is_on_the_way and folder != self.hidden and (folder > self.after or self.after.startswith(folder))

    def holds(self, path: str) -> bool:
        """True where this file is asked for."""
        return path > self.after and path.startswith(self.prefix)


def file_pages(location: str, part: Part) -> Iterator[FilePage]:
    """Every file below a normalized location that is asked for; none where there is none.

    Args:
        location: folder, file or URL.
        part: of it.

    Raises:
        ParamsError: the place does not exist.
        StorageError: the store does not answer.
    """
    if not is_url(location):
        return _local_pages(location, part)
    filesystem, base = open_filesystem(location)
    filesystem.invalidate_cache()
    pages = _s3_pages if "s3" in filesystem.protocol else _url_pages
    return pages(_Place(location, filesystem, base), part)


@dataclass(frozen=True)
class _Place:
    """A location on a store.

    Attributes:
        location: the normalized URL.
        filesystem: of fsspec.
        base: the location as the file system names it.
    """

    location: str
    filesystem: Any
    base: str

    def ask(self, call: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """What the store answers, tried again while it is away."""
        return try_again(partial(call, *args, **options), store=self.location, operation="listing")

    def missing(self) -> ParamsError:
        return ParamsError(
            f"SOURCE must be a folder or URL that exists, got {self.location!r}: nothing is there. "
            "Check its name, and create the bucket or folder if it is to be filled later."
        )

    def itself(self) -> ListedFile | None:
        """The one file that the location names, where it names one.

        Raises:
            FileNotFoundError: it names nothing.
        """
        entry = self.ask(self.filesystem.info, self.base)
        if entry["type"] == "directory":
            return None
        name = self.base.rsplit("/", 1)[-1]
        return ListedFile(name, self.location, partial(file_info, name, entry))

    def file(self, path: str, entry: dict[str, Any]) -> ListedFile:
        """One file below the location."""
        return ListedFile(path, f"{self.location}/{path}", partial(file_info, path, entry))


def _s3_pages(place: _Place, part: Part) -> Iterator[FilePage]:
    """Pages as the server cuts and orders them: not every server orders keys by their characters, so nobody sorts."""
    bucket, key, _ = place.filesystem.split_path(place.base)
    prefix = f"{key}/" if key else ""
    end, more = part.after, True
    while more:
        start = {"StartAfter": prefix + end} if end else {}
        try:
            answer = place.ask(
                place.filesystem.call_s3,
                "list_objects_v2",
                Bucket=bucket,
                Prefix=prefix + part.prefix,
                MaxKeys=PAGE_FILES,
                **start,
            )
        except FileNotFoundError as error:
            raise place.missing() from error
        found = {entry["Key"][len(prefix) :]: entry for entry in answer.get("Contents", [])}
        if not found:
            break
        end = next(reversed(found))
        if part.hidden and end.startswith(part.hidden):
            end = part.hidden + _LAST_CHARACTER
        # A key that ends in "/" stands for a folder.
        files = {path: entry for path, entry in found.items() if path and not path.endswith("/")}
        yield FilePage([place.file(path, {**entry, "size": entry["Size"]}) for path, entry in files.items()], end)
        more = answer["IsTruncated"]
    if key and not end:
        with contextlib.suppress(FileNotFoundError):  # an empty place
            yield from _one_page(place.itself(), part)


def _url_pages(place: _Place, part: Part) -> Iterator[FilePage]:
    try:
        single = place.itself()
    except FileNotFoundError as error:
        raise place.missing() from error
    if single:
        return _one_page(single, part)
    return _walk_pages(partial(_scan_url, place), part)


def _scan_url(place: _Place, folder: str) -> Iterator["_Entry"]:
    path = f"{place.base}/{folder}".rstrip("/") if folder else place.base
    try:
        listed = place.ask(place.filesystem.ls, path, detail=True)
    except FileNotFoundError:  # removed meanwhile
        return
    for info in listed:
        relative = info["name"].rstrip("/").removeprefix(place.base).removeprefix("/")
        if relative == folder.rstrip("/"):  # some stores list the folder itself
            continue
        if info["type"] == "directory":
            yield _Entry(f"{relative}/", None)
        else:
            yield _Entry(relative, place.file(relative, info))


def _local_pages(location: str, part: Part) -> Iterator[FilePage]:
    if os.path.isfile(location):
        name = os.path.basename(location)
        return _one_page(ListedFile(name, location, partial(_local_file, location, name)), part)
    if not os.path.isdir(location):
        raise ParamsError(f"SOURCE must be a folder, a file or an fsspec URL, got {location!r}: it does not exist.")
    return _walk_pages(partial(_scan_local, location), part)


def _scan_local(location: str, folder: str) -> Iterator["_Entry"]:
    try:
        with os.scandir(os.path.join(location, folder)) as found:
            entries = list(found)
    except (FileNotFoundError, NotADirectoryError):  # removed meanwhile
        return
    except OSError as error:
        logger.warning("Sources below %s are left out: %s.", error.filename, error.strerror)
        return
    for entry in entries:
        path = folder + entry.name
        if entry.is_dir(follow_symlinks=False):
            yield _Entry(f"{path}/", None)
        else:
            full = os.path.join(location, path)
            yield _Entry(path, ListedFile(path, full, partial(_local_file, full, path)))


def _local_file(full: str, path: str) -> FileInfo | None:
    # A broken symbolic link and a socket are no files; a link to a file is one.
    if os.path.isfile(full):
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            return local_info(full, path)
    return None


@dataclass(frozen=True, slots=True)
class _Entry:
    """What stands in a folder: a path below the location, which ends in "/" where it is a folder itself."""

    path: str
    file: ListedFile | None


def _one_page(file: ListedFile | None, part: Part) -> Iterator[FilePage]:
    if file is not None and part.holds(file.path):
        yield FilePage([file], file.path)


def _walk_pages(scan: Callable[[str], Iterator[_Entry]], part: Part) -> Iterator[FilePage]:
    """What lies in a tree of folders, in the order of the paths."""
    files, end = _walk(scan, part), part.after
    while page := list(itertools.islice(files, PAGE_FILES)):
        # A position is kept as text, which not every name on a disk is.
        end = next((file.path for file in reversed(page) if _is_text(file.path)), end)
        yield FilePage(page, end)


def _walk(scan: Callable[[str], Iterator[_Entry]], part: Part) -> Iterator[ListedFile]:
    folders = [iter(_in_order(scan("")))]
    while folders:
        entry = next(folders[-1], None)
        if entry is None:
            folders.pop()
        elif entry.file is not None:
            if part.holds(entry.path):
                yield entry.file
        elif part.may_hold(entry.path):
            folders.append(iter(_in_order(scan(entry.path))))


def _in_order(entries: Iterator[_Entry]) -> list[_Entry]:
    return sorted(entries, key=lambda entry: entry.path)


def _is_text(path: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in path)
