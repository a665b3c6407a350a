"""Opening source videos in place and reading their size and content tag.

A source that cannot be opened fails its task at once: the executor retries the task while the worker does other work.
A read of an open source is retried here, since a new try of the task would decode the video from its beginning.
"""

import contextlib
from collections.abc import Iterator
from typing import IO

from stages import heartbeat
from stages.errors import SourceChanged, SourceError, SourceGone, StorageError, StorageUnavailable
from stages.storage.locations import FileInfo, is_url, local_file_info, open_filesystem, remote_file_info
from stages.storage.ranged_file import RangedFile
from stages.storage.retried_calls import STORE_CLIENTS, call_with_retries


def stat_source(uri: str) -> FileInfo:
    """The current size and content tag of a source.

    Raises:
        SourceGone: it is not there.
        StorageUnavailable: the store does not answer, or refuses.
    """
    with _raising_source_errors(uri):
        if not is_url(uri):
            return local_file_info(uri, uri)
        filesystem, path = open_filesystem(uri)
        filesystem.invalidate_cache()
        return remote_file_info(path, filesystem.info(path))


@contextlib.contextmanager
def open_source(uri: str) -> Iterator[IO[bytes]]:
    """Open a source as a seekable file that is read by ranges, never whole.

    Bytes read from a store are counted as ``source_bytes``.

    Raises:
        SourceGone: it is not there.
        SourceChanged: it was replaced while it was read.
        StorageUnavailable: the store does not answer, or refuses; also where the block raised another error after that.
    """
    if not is_url(uri):
        with _raising_source_errors(uri):
            local = open(uri, "rb")  # noqa: SIM115 - closed below; errors of the block are not errors of opening
        with local:
            yield local
        return
    handle = _open_ranged_file(uri)
    try:
        yield handle  # type: ignore[misc]  # typeshed's RawIOBase is no IO
    except Exception:  # of any library that reads; where the store failed before, that is the cause
        if handle.failure is None:
            raise
    if handle.failure is not None:
        raise handle.failure


def _open_ranged_file(uri: str) -> RangedFile:
    filesystem, path = open_filesystem(uri)
    with _raising_source_errors(uri):
        filesystem.invalidate_cache()
        remote = filesystem.open(path, "rb", cache_type="none")
        size = remote.seek(0, 2)

    def fetch(start: int, end: int) -> bytes:
        with _raising_source_errors(uri):
            data = call_with_retries(
                lambda: read_range(remote, start, end), store=uri, operation=f"reading from byte {start}"
            )
        heartbeat.count("source_bytes", len(data))
        return data

    return RangedFile(fetch, size)


def read_range(remote: IO[bytes], start: int, end: int) -> bytes:
    """Read the bytes of an open file from a start to an end.

    Raises:
        OSError: the store returned fewer bytes; transient.
    """
    remote.seek(start)
    data = remote.read(end - start)
    if len(data) != end - start:
        raise OSError(f"the answer must have {end - start} bytes, got {len(data)}")
    return data


@contextlib.contextmanager
def _raising_source_errors(uri: str) -> Iterator[None]:
    """Inside the block, errors of the store are raised as the `SourceError` that they mean for the source."""
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
    except Exception as error:  # each client has error classes of its own, which need not be installed
        if type(error).__name__ == "FileExpired":  # of s3fs, which need not be installed
            raise SourceChanged(uri, f"The source was replaced while it was read: {uri}. List it again.") from error
        is_client_error = type(error).__module__.partition(".")[0] in STORE_CLIENTS
        if not is_client_error and not isinstance(error, OSError):
            raise
        raise StorageUnavailable(
            uri, f"The source must be readable, got {error}: {uri}. It is tried again by the next run."
        ) from error
