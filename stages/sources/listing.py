"""Source videos of a folder or bucket, listed by pages, so that a listing can stop after any page and go on later."""

import fnmatch
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from stages.errors import ParamsError
from stages.params import ReadParams
from stages.sources.listed_files import ListedFile, Part, file_pages
from stages.storage import digest, is_url, normalize


@dataclass(frozen=True, slots=True)
class Source:
    """One version of one source video.

    Attributes:
        uri: absolute path, or URL.
        etag: content tag.
        size_bytes: its size.
        modified: when it last changed, in seconds since 1970; None where the store does not tell.
        path: below the folder that was listed.
    """

    uri: str
    etag: str
    size_bytes: int
    modified: float | None = None
    path: str = ""

    @property
    def video_id(self) -> str:
        """Equal for equal uri and content tag, hence in every run."""
        return digest(self.uri, self.etag, length=16)


@dataclass(frozen=True, slots=True)
class Page:
    """Sources that follow one another in a listing.

    Attributes:
        sources: those of the page's files that the patterns admit.
        position: text by which a later `list_pages` goes on behind this page.
        num_files: looked at.
    """

    sources: list[Source]
    position: str
    num_files: int


def list_pages(
    location: str, params: ReadParams, *, after: str = "", prefix: str = "", outside: str | None = None
) -> Iterator[Page]:
    """Every video below a folder or URL that the patterns admit, in the order of the paths or the store's own.

    A file that appears meanwhile is listed, or is by the next pass. An empty place gives no page.

    Args:
        location: folder, file or URL.
        params: patterns, and how many in one pass at most.
        after: the position of the last page that was dealt with; empty to begin a pass.
        prefix: what the paths of sources below the location begin with; empty for all.
        outside: a folder or URL below which nothing is listed, such as the root that the clips are written to.

    Raises:
        ParamsError: the folder does not exist or lies in the one outside of which is listed, its protocol is unknown,
            a name in it is not UTF-8, or `after` is no position.
        StorageError: the store does not answer.
    """
    location = normalize(location)
    num_sources, end = _read_position(after)
    below, hidden = location.rstrip("/") + "/", f"{normalize(outside)}/" if outside else None
    if hidden and below.startswith(hidden):
        raise ParamsError(
            f"SOURCE must not be the root or lie inside it, where no file is a source, got {location!r} under "
            f"{outside!r}. Choose a root beside the sources, or below them."
        )
    left = params.limit - num_sources if params.limit else None
    if left is not None and left <= 0:
        return
    admits = _admission(params)
    for page in file_pages(location, Part(end, prefix, hidden.removeprefix(below) if hidden else None)):
        admitted = [file for file in page.files if admits(file.path)]
        shown = [file for file in admitted if not (hidden and file.uri.startswith(hidden))]
        sources = [source for source in map(_source, shown) if source][:left]
        num_sources += len(sources)
        yield Page(sources, f"{num_sources}:{page.end}", len(page.files))
        left = left - len(sources) if left is not None else None
        if left == 0:
            return


def list_sources(location: str, params: ReadParams, *, outside: str | None = None) -> list[Source]:
    """The sources of all pages, sorted by uri. One file is listed as itself.

    Raises:
        ParamsError: as `list_pages`, and where a URL has nothing below it.
    """
    pages = list(list_pages(location, params, outside=outside))
    if not pages and is_url(normalize(location)):
        raise ParamsError(
            f"SOURCE must be a folder or URL with files below it, got {location!r}: nothing is there, or only the root."
        )
    return sorted((source for page in pages for source in page.sources), key=lambda source: source.uri)


def _read_position(after: str) -> tuple[int, str]:
    """How many sources the pass has listed, and the path that it has reached."""
    count, separator, path = after.partition(":")
    if not after:
        return 0, ""
    if not separator or not count.isdecimal():
        raise ParamsError(f"after must be the position of a page, got {after!r:.80}. Begin again without one.")
    return int(count), path


def _source(file: ListedFile) -> Source | None:
    """The file as a source that a table can hold as text; None where it is gone."""
    try:
        file.uri.encode()
    except UnicodeEncodeError as error:
        raise ParamsError(
            f"The name of a source must be UTF-8, got {file.uri!a}. Rename it, or leave it out with read.exclude."
        ) from error
    info = file.info()
    return Source(file.uri, info.etag, info.size_bytes, info.modified_s, file.path) if info else None


def _admission(params: ReadParams) -> Callable[[str], bool]:
    """Tells of a path whether the patterns admit it, by the whole path or by its last part."""
    include, exclude = _any_of(params.include), _any_of(params.exclude)

    def admits(path: str) -> bool:
        texts = {path.lower(), path.lower().rsplit("/", 1)[-1]}
        return any(map(include, texts)) and not any(map(exclude, texts))

    return admits


def _any_of(patterns: list[str]) -> Callable[[str], object]:
    """Tells whether a text matches one of the globs; one expression for all, since a bucket has many names."""
    alternatives = "|".join(fnmatch.translate(pattern.lower()) for pattern in patterns)
    return re.compile(alternatives or r"(?!)").match
