"""Listing of source videos in a folder or bucket by pages; it can stop after any page and continue later."""

import fnmatch
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from stages.errors import ParamsError
from stages.params import ReadParams
from stages.sources.file_listing import ListedFile, ListingScope, file_pages
from stages.storage import digest, is_url, normalize_location


@dataclass(frozen=True, slots=True)
class Source:
    """One version of one source video.

    Attributes:
        uri: absolute path, or URL.
        etag: content tag.
        size_bytes: its size.
        modified: modification time in seconds since 1970; None where the store gives none.
        path: below the listed folder.
    """

    uri: str
    etag: str
    size_bytes: int
    modified: float | None = None
    path: str = ""

    @property
    def video_id(self) -> str:
        """Hash of uri and content tag, hence the same in every run."""
        return digest(self.uri, self.etag, length=16)


@dataclass(frozen=True, slots=True)
class SourcePage:
    """Consecutive sources of a listing.

    Attributes:
        sources: the files of the page that match the patterns.
        position: argument `after` with which a later `list_source_pages` continues after this page.
        num_files: files of the page, whether they match or not.
    """

    sources: list[Source]
    position: str
    num_files: int


def list_source_pages(
    location: str, params: ReadParams, *, after: str = "", prefix: str = "", excluded_folder: str | None = None
) -> Iterator[SourcePage]:
    """List every video below a folder or URL that matches the patterns, in the order of the paths or of the store.

    A file that is added meanwhile is listed, if not by this pass then by the next. An empty location gives no page.

    Args:
        location: folder, file or URL.
        params: patterns, and the largest number of sources in one pass.
        after: the position of the last page that was processed; empty to begin a pass.
        prefix: of the paths of sources below the location; empty for all.
        excluded_folder: a folder or URL below which nothing is listed, such as the root that the clips are written to.

    Raises:
        ParamsError: the folder does not exist or lies in the excluded one, its protocol is unknown, a name in it is not
            UTF-8, or `after` is no position.
        StorageError: the store does not answer.
    """
    location = normalize_location(location)
    num_sources, end = _parse_position(after)
    below, excluded = location.rstrip("/") + "/", f"{normalize_location(excluded_folder)}/" if excluded_folder else None
    if excluded and below.startswith(excluded):
        raise ParamsError(
            f"SOURCE must not be the root or lie inside it, where no file is a source, got {location!r} under "
            f"{excluded_folder!r}. Choose a root beside the sources, or below them."
        )
    remaining = params.limit - num_sources if params.limit else None
    if remaining is not None and remaining <= 0:
        return
    is_included = _path_filter(params)
    for page in file_pages(location, ListingScope(end, prefix, excluded.removeprefix(below) if excluded else None)):
        admitted = [file for file in page.files if is_included(file.path)]
        listable = [file for file in admitted if not (excluded and file.uri.startswith(excluded))]
        sources = [source for source in map(_to_source, listable) if source][:remaining]
        num_sources += len(sources)
        yield SourcePage(sources, f"{num_sources}:{page.end}", len(page.files))
        remaining = remaining - len(sources) if remaining is not None else None
        if remaining == 0:
            return


def list_sources(location: str, params: ReadParams, *, excluded_folder: str | None = None) -> list[Source]:
    """List the sources of all pages, sorted by uri. The location may be a single file.

    Raises:
        ParamsError: as `list_source_pages`, and where a URL has nothing below it.
    """
    pages = list(list_source_pages(location, params, excluded_folder=excluded_folder))
    if not pages and is_url(normalize_location(location)):
        raise ParamsError(
            f"SOURCE must be a folder or URL with files below it, got {location!r}: nothing is there, or only the root."
        )
    return sorted((source for page in pages for source in page.sources), key=lambda source: source.uri)


def _parse_position(after: str) -> tuple[int, str]:
    """The number of sources that the pass has listed, and the path that it has reached."""
    count, separator, path = after.partition(":")
    if not after:
        return 0, ""
    if not separator or not count.isdecimal():
        raise ParamsError(f"after must be the position of a page, got {after!r:.80}. Begin again without one.")
    return int(count), path


def _to_source(file: ListedFile) -> Source | None:
    """The file as a source, whose uri must be valid UTF-8 to be stored in a table; None where it was removed."""
    try:
        file.uri.encode()
    except UnicodeEncodeError as error:
        raise ParamsError(
            f"The name of a source must be UTF-8, got {file.uri!a}. Rename it, or leave it out with read.exclude."
        ) from error
    info = file.info()
    return Source(file.uri, info.etag, info.size_bytes, info.modified_s, file.path) if info else None


def _path_filter(params: ReadParams) -> Callable[[str], bool]:
    """A predicate: true for a path that matches `include` and not `exclude`, by the whole path or its last part."""
    include, exclude = _any_glob_matches(params.include), _any_glob_matches(params.exclude)

    def is_included(path: str) -> bool:
        texts = {path.lower(), path.lower().rsplit("/", 1)[-1]}
        return any(map(include, texts)) and not any(map(exclude, texts))

    return is_included


def _any_glob_matches(patterns: list[str]) -> Callable[[str], object]:
    """A predicate: truthy for a text that matches one of the globs. One expression for all is fast for many names."""
    alternatives = "|".join(fnmatch.translate(pattern.lower()) for pattern in patterns)
    return re.compile(alternatives or r"(?!)").match
