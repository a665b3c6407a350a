import errno
import pickle
from pathlib import Path

import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError, ReadTimeoutError
from fsspec.config import conf
from fsspec.exceptions import FSTimeoutError

from stages import heartbeat, retry
from stages.errors import Reason, SourceChanged, SourceError, SourceGone, StorageError, StorageUnavailable
from stages.executors.batch_runner import RetryPolicy
from stages.failures import failure_of
from stages.retry import Backoff
from stages.storage.locations import open_filesystem
from stages.storage.retried_calls import call_with_retries, is_transient
from stages.tasks import Failed


class Flaky:
    """Fails with the errors that it is given, in order, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (OSError("no number"), True),
        (OSError(errno.EIO, "unknown code"), True),
        (OSError(errno.EBUSY, "SlowDown"), True),
        (ConnectionResetError("reset"), True),
        (FSTimeoutError("late"), True),
        (EndpointConnectionError(endpoint_url="http://x"), True),
        (ReadTimeoutError(endpoint_url="http://x"), True),
        (NoCredentialsError(), False),
        (FileNotFoundError("no such bucket"), False),
        (PermissionError("AccessDenied"), False),
        (FileExistsError("there"), False),
        (OSError(errno.ENOSPC, "full"), False),
        (OSError(errno.EROFS, "read-only"), False),
        (OSError(errno.EINVAL, "pre-condition"), False),
        (ValueError("ours"), False),
    ],
)
def test_is_transient_tells_a_store_that_is_away_from_one_that_refuses(error: Exception, passes: bool) -> None:
    assert is_transient(error) is passes


def test_call_with_retries_waits_and_beats() -> None:
    call, before = Flaky(OSError("away"), TimeoutError("late")), heartbeat.beats()
    with retry.using(Backoff(3, 0.01)):
        assert call_with_retries(call, store="s3://b", operation="reading x") == "answer"
    assert call.calls == 3
    assert heartbeat.beats() >= before + 2


def test_call_with_retries_rejects_after_the_last_try() -> None:
    call = Flaky(*(OSError("away") for _ in range(5)))
    with retry.using(Backoff(2, 0)), pytest.raises(StorageError, match=r"s3://b must answer, .* reading x in 2 tries"):
        call_with_retries(call, store="s3://b", operation="reading x")
    assert call.calls == 2


def test_call_with_retries_rejects_at_once_what_does_not_pass() -> None:
    call = Flaky(PermissionError("AccessDenied"))
    with retry.using(Backoff(9, 60)), pytest.raises(PermissionError):
        call_with_retries(call, store="s3://b", operation="reading x")
    assert call.calls == 1


def test_storage_error_of_a_worker_is_a_passing_failure() -> None:
    error = pickle.loads(pickle.dumps(StorageError("s3://b", "s3://b must answer")))
    assert (error.store, str(error)) == ("s3://b", "s3://b must answer")
    assert failure_of(error) == Failed(Reason.STORAGE, "StorageError: s3://b must answer", is_lasting=True)


def test_using_holds_inside_its_block_only() -> None:
    before = retry.current()
    with retry.using(Backoff(7)):
        assert retry.current().tries == 7
    assert retry.current() == before


def test_open_filesystem_keeps_what_the_user_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_MAX_ATTEMPTS", raising=False)
    monkeypatch.setitem(conf, "s3", {"key": "k", "secret": tmp_path.name, "config_kwargs": {"read_timeout": 99}})
    filesystem, path = open_filesystem("s3://bucket/x")
    assert path == "bucket/x"
    assert filesystem.config_kwargs == {
        "connect_timeout": 5,
        "read_timeout": 99,
        "max_pool_connections": 64,
        "retries": {"total_max_attempts": 1},
    }


def raised_from(error: SourceError, cause: Exception) -> SourceError:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "is_lasting"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (PermissionError(errno.EACCES, "Permission denied"), True),
        (SourceGone("a", "gone"), True),
        (SourceChanged("a", "changed"), True),
        (raised_from(StorageUnavailable("a", "no right"), PermissionError()), True),
        (raised_from(StorageUnavailable("a", "waited for"), StorageError("s3://b", "away")), True),
        (raised_from(StorageUnavailable("a", "away"), ConnectionRefusedError()), False),
        (OSError(errno.EIO, "Input/output error"), False),
        (TimeoutError(), False),
    ],
)
def test_failure_lasts_where_no_wait_of_the_run_mends_it(error: Exception, is_lasting: bool) -> None:
    outcome = failure_of(error)
    assert outcome.is_lasting is is_lasting
    assert RetryPolicy(frozenset({outcome.reason}), Backoff()).should_retry(outcome, 0) is not is_lasting
