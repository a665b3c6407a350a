"""Source videos: looked at and read where they lie.

A source that cannot be opened fails its task at once: the executor tries that again while the worker does other work.
One that is being read is waited for, since a new try would decode it from its beginning.
"""

import contextlib
from collections.abc import Iterator
from typing import IO

from stages import heartbeat
from stages.errors import SourceChanged, SourceError, SourceGone, StorageError, StorageUnavailable
from stages.storage.calls import STORE_CLIENTS, try_again
from stages.storage.locations import FileInfo, file_info, is_url, local_info, open_filesystem
from stages.storage.ranged_file import RangedFile


def stat_source(uri: str) -> FileInfo:
    """Size and content tag of a source as it is now.

    Raises:
        SourceGone: it is not there.
        StorageUnavailable: the store does not answer, or refuses.
    """
    with _told_of(uri):
        if not is_url(uri):
            return local_info(uri, uri)
        filesystem, path = open_filesystem(uri)
        filesystem.invalidate_cache()
        return file_info(path, filesystem.info(path))


@contextlib.contextmanager
def open_source(uri: str) -> Iterator[IO[bytes]]:
    """A source, seekable and read by ranges, never whole; what a store hands over is counted as ``source_bytes``.

    Raises:
        SourceGone: it is not there.
        SourceChanged: it was replaced while it was read.
        StorageUnavailable: the store does not answer, or refuses; also where the reader took that for something else.
    """
    if not is_url(uri):
        with _told_of(uri):
            local = open(uri, "rb")  # noqa: SIM115 - closed below; errors of the block are no errors of opening
        with local:
            yield local
        return
    handle = _open_ranges(uri)
    try:
        yield handle  # type: ignore[misc]  # typeshed's RawIOBase is no IO
    except Exception:
        if handle.failure is None:
            raise
    if handle.failure is not None:
        raise handle.failure


def _open_ranges(uri: str) -> RangedFile:
    filesystem, path = open_filesystem(uri)
    with _told_of(uri):
        filesystem.invalidate_cache()
        remote = filesystem.open(path, "rb", cache_type="none")
        size = remote.seek(0, 2)

    def fetch(start: int, end: int) -> bytes:
        with _told_of(uri):
            data = try_again(lambda: read_range(remote, start, end), store=uri, operation=f"reading from byte {start}")
        heartbeat.count("source_bytes", len(data))
        return data

    return RangedFile(fetch, size)


def read_range(remote: IO[bytes], start: int, end: int) -> bytes:
    """The bytes of an open file from a start to an end.

    Raises:
        OSError: fewer came than the file has; passing.
    """
    remote.seek(start)
    data = remote.read(end - start)
    if len(data) != end - start:
        raise OSError(f"the answer must have {end - start} bytes, got {len(data)}")
    return data


@contextlib.contextmanager
def _told_of(uri: str) -> Iterator[None]:
    """What the store says, as the fate of the source."""
    try:
        yield
    except SourceError:
        raise
    except FileNotFoundError as error:
        raise SourceGone(
            uri, f"The source was listed and is not there any more: {uri}. List again, or restore the file."
        ) from error
    except StorageError as error:
        raise StorageUnavailable(uri, str(error)) from error
    except Exception as error:
        if type(error).__name__ == "FileExpired":  # of s3fs, which need not be installed
            raise SourceChanged(uri, f"The source was replaced while it was read: {uri}. List it again.") from error
        client = type(error).__module__.partition(".")[0] in STORE_CLIENTS
        if not client and not isinstance(error, OSError):
            raise
        raise StorageUnavailable(
            uri, f"The source must be readable, got {error}: {uri}. It is tried again by the next run."
        ) from error
