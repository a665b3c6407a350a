"""All exceptions of this library, the reasons that a row is rejected or failed for, and suggestions for wrong names.

CurationError
├── ParamsError(ValueError)      a parameter is unknown or out of bounds; nothing has started
├── SourceError                  one source video cannot be used; becomes a failed row
│   ├── UnreadableSource         empty, not a video container, header damaged
│   ├── SourceGone               listed, but removed meanwhile; transient
│   ├── StorageUnavailable       the store did not answer; transient
│   ├── NoVideoStream            a container without video stream
│   ├── CorruptStream            packets do not decode, or the bit stream breaks at a PTS
│   └── SourceChanged            the object is no longer the listed one
├── StorageError                 the store of the root did not answer in any try; transient
├── StageError                   a stage could not process one task
├── PhaseError                   a phase as a whole must stop (too many failed rows, a stage that cannot start)
├── ManifestError                a manifest is missing or inconsistent
└── PoolError                    the worker pool cannot continue
"""

import difflib
from collections.abc import Collection, Generator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any


class Reason(StrEnum):
    """The values of the column ``reason``: why a row was rejected or failed.

    Filters reject with their own name, so the column holds filter names too.
    """

    # failed, permanent: another run on the same bytes has the same result
    UNREADABLE = "unreadable"
    NO_VIDEO_STREAM = "no_video_stream"
    CORRUPT_STREAM = "corrupt_stream"
    STAGE_ERROR = "stage_error"
    EMPTY_CAPTION = "empty_caption"
    # failed, transient: retried by the next run
    GONE = "gone"
    STORAGE = "storage"
    STALLED = "stalled"
    WORKER_DIED = "worker_died"
    OUT_OF_MEMORY = "out_of_memory"
    SERVICE = "service"
    # rejected: excluded by a rule
    SUPERSEDED = "superseded"
    EXACT_COPY = "exact_copy"
    TOO_SHORT = "too_short"
    TOO_SMALL = "too_small"
    NO_CLIPS = "no_clips"
    NO_WINDOWS = "no_windows"
    COPY = "copy"
    DUPLICATE = "duplicate"
    OVER_QUOTA = "over_quota"
    NO_CAPTION = "no_caption"
    CUT_SHORT = "cut_short"
    WRONG_SCHEMA = "wrong_schema"
    REFUSED = "refused"
    CONTROL_CHARACTERS = "control_characters"
    WRONG_LENGTH = "wrong_length"
    REPETITIVE = "repetitive"
    WRONG_LANGUAGE = "wrong_language"
    CONTRADICTS_MEASUREMENT = "contradicts_measurement"
    LOW_SIMILARITY = "low_similarity"
    NEAR_DUPLICATE = "near_duplicate"
    SPAN_NOT_COPYABLE = "span_not_copyable"


PERMANENT_REASONS = (
    Reason.UNREADABLE,
    Reason.NO_VIDEO_STREAM,
    Reason.CORRUPT_STREAM,
    Reason.STAGE_ERROR,
    Reason.EMPTY_CAPTION,
)
"""Failures that recur with the same bytes and parameters."""

TRANSIENT_REASONS = (
    Reason.GONE,
    Reason.STORAGE,
    Reason.STALLED,
    Reason.WORKER_DIED,
    Reason.OUT_OF_MEMORY,
    Reason.SERVICE,
    Reason.SUPERSEDED,  # as a failure: the source had another tag when it was needed again
)
"""Failures that may not recur; `ExecutorParams.transient` can define others."""

FAILED_REASONS = (*PERMANENT_REASONS, *TRANSIENT_REASONS)
"""Every reason that a failed row may have."""


class CurationError(Exception):
    """Base of every error that this library raises on purpose."""


class ParamsError(CurationError, ValueError):
    """A parameter is unknown, of the wrong type or out of bounds.

    Attributes:
        param: its dotted name, below which an index or key may stand: ``split.threshold``, ``filter.filters.1``. Empty
            where the error is of several, or of none.
    """

    def __init__(self, message: str, param: str = "") -> None:
        super().__init__(message)
        self.param = param


@contextmanager
def concerning(param: str) -> Generator[None, None, None]:
    """A `ParamsError` that is raised in the block is about this parameter, unless it names one itself."""
    try:
        yield
    except ParamsError as error:
        error.param = error.param or param
        raise


class SourceError(CurationError):
    """One source video cannot be used.

    Attributes:
        uri: the source.
        reason: for its row.
    """

    reason: Reason = Reason.UNREADABLE

    def __init__(self, uri: str, message: str) -> None:
        super().__init__(message)
        self.uri = uri

    def __reduce__(self) -> tuple[type["SourceError"], tuple[object, ...]]:
        """Errors are pickled from worker to driver; the default rebuilds them from ``args`` alone."""
        return type(self), (self.uri, str(self))


class UnreadableSource(SourceError):
    """The source is empty, is no video container, or its header is damaged."""


class SourceGone(SourceError):
    """The source was listed, but removed meanwhile."""

    reason = Reason.GONE


class StorageUnavailable(SourceError):
    """The store that holds the source did not answer; transient."""

    reason = Reason.STORAGE


class NoVideoStream(SourceError):
    """The container holds no video stream."""

    reason = Reason.NO_VIDEO_STREAM


class SourceChanged(SourceError):
    """The object under this uri is no longer the listed one."""

    reason = Reason.SUPERSEDED


class CorruptStream(SourceError):
    """The bit stream cannot be decoded from some point on.

    Attributes:
        pts: the PTS of the last frame that decoded, in the stream's time base; None if none did.
    """

    reason = Reason.CORRUPT_STREAM

    def __init__(self, uri: str, message: str, pts: int | None = None) -> None:
        super().__init__(uri, message)
        self.pts = pts

    def __reduce__(self) -> tuple[type["CorruptStream"], tuple[object, ...]]:
        """Carry the PTS across processes too."""
        return type(self), (self.uri, str(self), self.pts)


class StageError(CurationError):
    """A stage could not process one task.

    Attributes:
        reason: for the task's row.
    """

    def __init__(self, message: str, reason: Reason = Reason.STAGE_ERROR) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type["StageError"], tuple[str, Reason]]:
        """Carry the reason across processes."""
        return type(self), (str(self), self.reason)


class StorageError(CurationError):
    """The store that holds the root did not answer in any try; transient.

    Attributes:
        store: the root, or the source.
        reason: for the row of a task that needed it.
    """

    reason = Reason.STORAGE

    def __init__(self, store: str, message: str) -> None:
        super().__init__(message)
        self.store = store

    def __reduce__(self) -> tuple[type["StorageError"], tuple[str, str]]:
        """Carry the store across processes too."""
        return type(self), (self.store, str(self))


class PhaseError(CurationError):
    """A phase stopped: too many rows failed, or a stage could not be set up.

    Attributes:
        reports: of the partitions that were committed nevertheless (`stages.phase.PhaseReport`).
    """

    def __init__(self, message: str, reports: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.reports: dict[str, Any] = reports or {}


class DeviceLost(CurationError):
    """The process's GPU answers nothing any more, so that this process must end; see `is_device_lost`."""


class ManifestError(CurationError):
    """A manifest, or a file that it names, is missing or damaged."""


class PoolError(CurationError):
    """The worker pool cannot continue: workers die while they start, or none is available."""


_MIN_SIMILARITY = 0.7
"""Share of letters that two names must have in common for one to be suggested for the other, see `difflib`."""


def nearest_names(name: str, known: Collection[str]) -> list[str]:
    """The known names that a wrong one may stand for, most similar first, three at most.

    A parameter under the name of another group, ``filter.threshold``, stands for those of this name in other groups.
    """
    moved = [each for each in known if "." in name and each.partition(".")[2] == name.partition(".")[2]]
    ratios = {each: _similarity(name, each) for each in known}
    # A name that is much more similar than the others is the only suggestion.
    least = max(_MIN_SIMILARITY, max(ratios.values(), default=0) - 0.1)
    similar = sorted((each for each in known if ratios[each] >= least), key=ratios.__getitem__, reverse=True)
    return list(dict.fromkeys([*moved, *similar]))[:3]


def _similarity(name: str, other: str) -> float:
    """Share of letters in common; of two names of one group without the group, which is right in both."""
    group = name.rpartition(".")[0]
    if group and group == other.rpartition(".")[0]:
        name, other = name[len(group) + 1 :], other[len(group) + 1 :]
    return difflib.SequenceMatcher(None, name, other).ratio()


def did_you_mean(name: str, known: Collection[str]) -> str:
    """A question with the nearest names, to stand behind an error; empty where none is near."""
    nearest = nearest_names(name, known)
    return f" Did you mean {' or '.join(nearest)}?" if nearest else ""


_CV2_NO_MEMORY = -4
"""OpenCV's error code for a lack of memory."""
_TORCH_NO_MEMORY = "DefaultCPUAllocator"
"""Torch's allocator of main memory raises a RuntimeError with this name in it."""


def is_out_of_memory(error: BaseException) -> bool:
    """True if memory ran out. Errors of libraries are recognised without importing the libraries."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's own, for a GPU
        return True
    if type(error).__module__ == "cv2":
        return getattr(error, "code", None) == _CV2_NO_MEMORY
    return isinstance(error, RuntimeError) and _TORCH_NO_MEMORY in str(error)


_LOST_DEVICE = (
    "device-side assert triggered",
    "illegal memory access was encountered",
    "unspecified launch failure",
    "misaligned address",
    "an illegal instruction was encountered",
    "invalid program counter",
    "hardware stack error",
    "uncorrectable ECC error encountered",
    "the launch timed out and was terminated",
)
"""How CUDA tells faults after which every call of the process fails, until it ends. Others pass with their call."""


def is_device_lost(error: BaseException) -> bool:
    """True if a fault left the process without its GPU. Told by torch's texts, without importing torch."""
    return isinstance(error, RuntimeError) and "CUDA" in str(error) and any(text in str(error) for text in _LOST_DEVICE)
