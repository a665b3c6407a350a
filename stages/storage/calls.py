"""Calls of a store's client that are tried again where the failure may pass.

s3fs and botocore try again on their own, each five times: a store that takes connections and does not answer would
hold one call for 25 times 15 s. `client_options` gives one call one try of at most 15 s, so that all waits are ours.
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

logger = logging.getLogger(__name__)

T = TypeVar("T")

STORE_CLIENTS = ("botocore", "aiobotocore", "aiohttp", "s3fs", "gcsfs", "adlfs", "azure", "google", "urllib3")
"""Packages whose own errors mean that a store did not answer; few of them are an OSError."""

_LASTING_ERRNO = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS),
    *(errno.EINVAL, errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ENAMETOOLONG, errno.EMSGSIZE, errno.EREMCHG),
}
"""No space, no right, or a wrong request. s3fs gives these numbers to what an object store answers."""

_LASTING_NAMES = {
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
"""Of one upload; S3 takes 10,000."""

_S3_TIMEOUTS = {"connect_timeout": 5, "read_timeout": 15}


def client_options(protocol: str) -> dict[str, Any]:
    """Arguments of the protocol's file system, beside those that the user's fsspec configuration gives."""
    if protocol not in ("s3", "s3a"):
        return {}
    options: dict[str, Any] = dict(_S3_TIMEOUTS)
    if "AWS_MAX_ATTEMPTS" not in os.environ:
        options["retries"] = {"total_max_attempts": 1}
    settings = conf.get(protocol, {})
    session = {} if {"session", "profile"} & set(settings) else {"session": _s3_session()}
    return {"config_kwargs": {**options, **settings.get("config_kwargs", {})}, **session}


@cache
def _s3_session() -> Any:
    """A session whose clients read the times of a listing by their one form.

    botocore's own reader tries many, which takes two thirds of the time of listing a bucket.
    """
    from aiobotocore.session import AioSession  # comes with the extra that brings s3fs

    session = AioSession()
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_read_time)
    return session


def _read_time(value: Any) -> datetime:
    from botocore.utils import parse_timestamp

    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):  # a header has another form
        return parse_timestamp(value)


def upload_options(protocol: str | tuple[str, ...], size_bytes: int) -> dict[str, Any]:
    """Arguments of the file system's `put_file`, by which a part is through every few seconds on a slow line too."""
    if "s3" not in protocol:
        return {}
    # s3fs's own parts have 50 MiB, ten at once, so that the first would be through when all are.
    return {"chunksize": max(_PART_BYTES, size_bytes // _MAX_PARTS), "max_concurrency": 2}


def is_lasting(error: BaseException) -> bool:
    """True for an answer of the system or a store that the same call gets a little later too: no space, no right."""
    if type(error).__name__ in _LASTING_NAMES:
        return True
    lasting = FileNotFoundError | FileExistsError | PermissionError | IsADirectoryError | NotADirectoryError
    return isinstance(error, OSError) and (isinstance(error, lasting) or error.errno in _LASTING_ERRNO)


def may_pass(error: Exception) -> bool:
    """True where the same call may succeed a little later: the store was away, slow, or had too much to do."""
    if is_lasting(error):
        return False
    if isinstance(error, OSError):
        return True
    if not _is_of_client(error):
        return False
    status = getattr(error, "status_code", None) or getattr(error, "status", None) or getattr(error, "code", None)
    return not isinstance(status, int) or not 400 <= status < 500 or status in (408, 429)


def _is_of_client(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] in STORE_CLIENTS


def try_again(call: Callable[[], T], *, store: str, operation: str) -> T:
    """What the call returns, with as many tries and such waits as `retry.current` tells.

    Args:
        call: may be made again after it failed.
        store: the root or source, for the message.
        operation: what the call does, for the message: "writing manifests/..."

    Raises:
        StorageError: the last try failed too, or the client refused at once (no credentials). A failure of the
            system that does not pass is raised as it is.
    """
    backoff, started = retry.current(), time.monotonic()
    waits = backoff.waits()
    while True:
        try:
            return call()
        except Exception as error:  # each client raises classes of its own, known only where it is installed
            if not may_pass(error):
                if isinstance(error, OSError) or not _is_of_client(error):
                    raise
                raise StorageError(
                    store, f"{store} must answer, got a refusal of {operation}: {_told(error)}"
                ) from error
            wait_s = next(waits, None)
            if wait_s is None:
                tries, seconds = backoff.tries, time.monotonic() - started
                raise StorageError(
                    store,
                    f"{store} must answer, got no good answer to {operation} in {tries} tries over {seconds:.0f} s: "
                    f"{_told(error)} What is done stays; once the store answers, the next run goes on.",
                ) from error
            logger.warning("%s: %s failed, tried again in %.1f s: %s", store, operation, wait_s, _told(error))
        retry.pause(wait_s)


def _told(error: Exception) -> str:
    """The first line of what the client says, ended by a full stop."""
    text = str(error).strip().split("\n")[0] or type(error).__name__
    return f"{text.rstrip('.')}."
