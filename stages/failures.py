"""Converts the exception of a task to a `Failed` outcome."""

from stages.errors import (
    Reason,
    SourceChanged,
    SourceError,
    SourceGone,
    StageError,
    StorageError,
    is_out_of_memory,
)
from stages.storage import STORE_CLIENTS, is_lasting
from stages.tasks import Failed


def failure_of(error: Exception) -> Failed:
    """The outcome of a task that raised an exception. Its reason is transient for faults of the machine or a store."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, SourceError | StageError | StorageError):
        return Failed(error.reason, text, is_lasting=_is_lasting(error))
    if is_out_of_memory(error):
        return Failed(Reason.OUT_OF_MEMORY, text)
    package = type(error).__module__.partition(".")[0]
    if package in STORE_CLIENTS or (isinstance(error, OSError) and package != "av"):
        return Failed(Reason.STORAGE, text, is_lasting=_is_lasting(error))
    return Failed(Reason.STAGE_ERROR, text)


def _is_lasting(error: BaseException | None) -> bool:
    """True if a retry in this run is useless: the error, or one of its causes, is lasting or was retried already."""
    while error is not None:
        if isinstance(error, SourceGone | SourceChanged | StorageError) or is_lasting(error):
            return True
        error = error.__cause__
    return False
