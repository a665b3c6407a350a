"""Calls of a store's client, retried after transient errors.

s3fs and botocore retry on their own, each five times: a store that accepts connections and does not answer would block
one call for 25 times 15 s. `client_options` limits a call to one try of at most 15 s, so that all retries happen here.
"""

import errno
import logging
import os
import time
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

from fsspec.config import conf

from stages import retry
from stages.errors import StorageError
from stages.storage.call_times import record_call

logger = logging.getLogger(__name__)

T = TypeVar("T")

STORE_CLIENTS = ("botocore", "aiobotocore", "aiohttp", "s3fs", "gcsfs", "adlfs", "azure", "google", "urllib3")
"""Packages whose own errors mean that a store did not answer; few of these are an OSError."""

_LASTING_ERRNO = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS),
    *(errno.EINVAL, errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ENAMETOOLONG, errno.EMSGSIZE, errno.EREMCHG),
}
"""No space, no permission, or a wrong request. s3fs translates answers of an object store to these numbers."""

_LASTING_CLASSES = {
    "FileExpired",  # the object was replaced since it was opened
    "NoCredentialsError",
    "ParamValidationError",
    "PartialCredentialsError",
    "ProfileNotFound",
    "InvalidEndpointURLError",
    "InvalidURL",
}

_PART_BYTES = 8 << 20
_MAX_PARTS = 5000
"""Parts of one upload; S3 allows 10,000."""

_S3_CONFIG = {"connect_timeout": 5, "read_timeout": 15, "max_pool_connections": 64}
"""By default a client has ten connections, which are fewer than the threads of a driver that wait for answers."""


def client_options(protocol: str) -> dict[str, Any]:
    """Arguments for the protocol's fsspec file system, beside those of the user's fsspec configuration."""
    if protocol not in ("s3", "s3a"):
        return {}
    options: dict[str, Any] = dict(_S3_CONFIG)
    if "AWS_MAX_ATTEMPTS" not in os.environ:
        options["retries"] = {"total_max_attempts": 1}
    settings = conf.get(protocol, {})
    session = {} if {"session", "profile"} & set(settings) else {"session": _s3_session()}
    return {"config_kwargs": {**options, **settings.get("config_kwargs", {})}, **session}


@cache
def _s3_session() -> Any:
    """A session whose clients parse the times of a listing as ISO 8601.

    botocore's own parser tries many formats, which takes two thirds of the time of listing a bucket.
    """
    from aiobotocore.session import AioSession  # comes with the extra that brings s3fs

    session = AioSession()
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_parse_time)
    return session


def _parse_time(value: Any) -> datetime:
    from botocore.utils import parse_timestamp

    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):  # headers have another format
        return parse_timestamp(value)


def upload_options(protocol: str | tuple[str, ...], size_bytes: int) -> dict[str, Any]:
    """Arguments for the file system's `put_file`: parts so small that one is done every few seconds on a slow line."""
    if "s3" not in protocol:
        return {}
    # By default s3fs uploads parts of 50 MiB, ten concurrently, so that the first would be done when all are.
    return {"chunksize": max(_PART_BYTES, size_bytes // _MAX_PARTS), "max_concurrency": 2}


def is_lasting(error: BaseException) -> bool:
    """True for an error that the same call gets a little later too: no space, no permission, no such file."""
    if type(error).__name__ in _LASTING_CLASSES:
        return True
    lasting = FileNotFoundError | FileExistsError | PermissionError | IsADirectoryError | NotADirectoryError
    return isinstance(error, OSError) and (isinstance(error, lasting) or error.errno in _LASTING_ERRNO)


def is_transient(error: Exception) -> bool:
    """True where the same call may succeed a little later: the store was unreachable, slow or overloaded."""
    if is_lasting(error):
        return False
    if isinstance(error, OSError):
        return True
    if not _is_client_error(error):
        return False
    status = getattr(error, "status_code", None) or getattr(error, "status", None) or getattr(error, "code", None)
    return not isinstance(status, int) or not 400 <= status < 500 or status in (408, 429)


def _is_client_error(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] in STORE_CLIENTS


def call_with_retries(call: Callable[[], T], *, store: str, operation: str) -> T:
    """Make a call and return its result; retry it after transient errors, with the tries and waits of `retry.current`.

    Args:
        call: must be safe to repeat after a failure.
        store: the root or source, for the message.
        operation: names the call in the message: "writing manifests/..."

    Raises:
        StorageError: the last try failed too, or the client refused the call (no credentials). A lasting OSError is
            raised unchanged.
    """
    backoff, started = retry.current(), time.monotonic()
    waits = backoff.waits()
    while True:
        tried_at = time.monotonic()
        try:
            answer = call()
            record_call(operation, "ok", time.monotonic() - tried_at)
            return answer
        except Exception as error:  # each client has error classes of its own, which need not be installed
            if not is_transient(error):
                if isinstance(error, OSError) or not _is_client_error(error):
                    raise
                raise StorageError(
                    store, f"{store} must answer, got a refusal of {operation}: {_first_line(error)}"
                ) from error
            record_call(operation, "failed", time.monotonic() - tried_at)
            wait_s = next(waits, None)
            if wait_s is None:
                tries, seconds = backoff.tries, time.monotonic() - started
                raise StorageError(
                    store,
                    f"{store} must answer, got no good answer to {operation} in {tries} tries over {seconds:.0f} s: "
                    f"{_first_line(error)} What is done stays; once the store answers, the next run goes on.",
                ) from error
            logger.warning("%s: %s failed, tried again in %.1f s: %s", store, operation, wait_s, _first_line(error))
        retry.sleep_with_heartbeats(wait_s)


def _first_line(error: Exception) -> str:
    """The first line of the error's message, ended by a full stop."""
    text = str(error).strip().split("\n")[0] or type(error).__name__
    return f"{text.rstrip('.')}."
