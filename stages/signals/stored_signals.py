"""The signals of one video as a Parquet file, a row a frame. Light to import.

    {root}/manifests/signals/{partition}/{video_id}.{key}.parquet

A column of a measure is null in the frames at which it was not taken, and a list where frames have several values.
What holds for the whole stream stands in the footer. The file is written whole, before the rows of its clips, whose
column ``signals_key`` names it.
"""

import io
import itertools
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stages.signals.samples import Samples
from stages.storage import Storage

logger = logging.getLogger(__name__)

SIGNALS_FOLDER = "manifests/signals"
VERSION = "1"
"""Of the file's layout. A file of another version is not read; its video is decoded again."""
_FOOTER_KEY = b"signals"


@dataclass(frozen=True)
class Signals:
    """What one decode of a video measured.

    Attributes:
        pts: int64 ``[N]`` of every frame in presentation order; rises.
        keyframes: int64, indices of the frames that decode without any other; rises.
        end_pts: end of the last frame.
        time_base: seconds per unit of PTS.
        error: where and why the stream broke; None for a whole one.
        samples: values by measure.
        made_with: columns of the clips that say what decoded and measured the video; none in older files.
    """

    pts: NDArray[np.int64]
    keyframes: NDArray[np.int64]
    end_pts: int
    time_base: Fraction
    error: str | None
    samples: Mapping[str, Samples]
    made_with: Mapping[str, str | None] = field(default_factory=lambda: {})


def signals_path(partition: str, video_id: str, key: str) -> str:
    """Path of a video's signals, relative to the root."""
    return f"{SIGNALS_FOLDER}/{partition}/{video_id}.{key}.parquet"


def write_signals(storage: Storage, path: str, signals: Signals) -> None:
    """Write the file, whole or not at all.

    Raises:
        ValueError: two measures have a column of the same name.
    """
    num_frames = len(signals.pts)
    is_keyframe = np.zeros(num_frames, np.bool_)
    is_keyframe[signals.keyframes] = True
    columns: dict[str, pa.Array] = {"pts": pa.array(signals.pts), "is_keyframe": pa.array(is_keyframe)}
    for measure, samples in signals.samples.items():
        for name, values in samples.values.items():
            if name in columns:
                raise ValueError(f"Columns of signals must have different names, got {name!r} twice, of {measure}.")
            columns[name] = _to_column(samples.frame, values, num_frames)
    footer = {
        "version": VERSION,
        "end_pts": signals.end_pts,
        "time_base": str(signals.time_base),
        "error": signals.error,
        "measures": {measure: list(samples.values) for measure, samples in signals.samples.items()},
        "made_with": dict(signals.made_with),
    }
    table = pa.table(columns).replace_schema_metadata({_FOOTER_KEY: json.dumps(footer).encode()})
    buffer = io.BytesIO()
    # PTS rise by nearly equal steps, which a dictionary cannot use; of the rest, most columns are sparse.
    encoding: dict[str, Any] = {
        "use_dictionary": [
            name for name, each in columns.items() if name != "pts" and not pa.types.is_large_binary(each.type)
        ],
        "column_encoding": {"pts": "DELTA_BINARY_PACKED"},
    }
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True, **encoding)
    storage.write_bytes(path, buffer.getvalue())


def read_signals(storage: Storage, path: str) -> Signals | None:
    """The signals in a file; None where there is none, it is damaged, or of another version.

    Raises:
        StorageError: the root does not answer.
    """
    if not storage.exists(path):
        return None
    data = storage.read_bytes(path)
    try:
        return _parse(data)
    except (pa.ArrowException, OSError, KeyError, ValueError, IndexError) as error:
        # Arrow raises an OSError for damaged pages.
        logger.warning("The video is decoded again, its signals %s are damaged: %s", storage.location(path), error)
        return None


@dataclass(frozen=True)
class RecordedPictures:
    """Hashes and small pictures of a video, without its other signals.

    Attributes:
        seconds: float64 ``[N]``, times of all frames.
        samples: of the measure ``hashes``.
        fast: of the measure ``fast``.
        stills: of the measure ``stills``.
    """

    seconds: NDArray[np.float64]
    samples: Samples
    fast: Samples
    stills: Samples

    @property
    def nbytes(self) -> int:
        """Of all arrays."""
        values = [each for samples in (self.samples, self.fast, self.stills) for each in samples.values.values()]
        return self.seconds.nbytes + sum(each.nbytes for each in values)


def read_pictures(storage: Storage, path: str) -> RecordedPictures | None:
    """Hashes and small pictures; None where there are none, or the file is gone or damaged.

    Raises:
        StorageError: the root does not answer.
    """
    if not storage.exists(path):
        return None
    data = io.BytesIO(storage.read_bytes(path))
    try:
        footer: dict[str, Any] = json.loads((pq.read_schema(data).metadata or {})[_FOOTER_KEY])
        names: list[list[str]] = [footer["measures"].get(measure, []) for measure in ("hashes", "fast", "stills")]
        if footer["version"] != VERSION or not names[0]:
            return None
        table = pq.read_table(data, columns=["pts", *itertools.chain(*names)], page_checksum_verification=True)
        hashes, fast, stills = (
            _from_columns({name: table[name].combine_chunks() for name in each}, len(table)) for each in names
        )
        seconds = table["pts"].to_numpy() * float(Fraction(footer["time_base"]))
        return RecordedPictures(seconds, hashes, fast, stills)
    except (pa.ArrowException, OSError, KeyError, ValueError, IndexError) as error:
        logger.warning(
            "Copies of the video are not found, its signals %s are damaged: %s", storage.location(path), error
        )
        return None


def _parse(data: bytes) -> Signals | None:
    table = pq.read_table(io.BytesIO(data), page_checksum_verification=True)
    footer: dict[str, Any] = json.loads((table.schema.metadata or {})[_FOOTER_KEY])
    if footer["version"] != VERSION:
        return None
    samples = {
        measure: _from_columns({name: table[name].combine_chunks() for name in names}, len(table))
        for measure, names in footer["measures"].items()
    }
    return Signals(
        table["pts"].to_numpy(),
        np.flatnonzero(table["is_keyframe"].to_numpy()),
        footer["end_pts"],
        Fraction(footer["time_base"]),
        footer["error"],
        samples,
        footer.get("made_with", {}),
    )


def _to_column(frame: NDArray[np.int64], values: NDArray[Any], num_frames: int) -> pa.Array:
    """The values at their frames, null at all others."""
    if values.ndim == 1 and np.any(frame[1:] == frame[:-1]):
        ends = np.searchsorted(frame, np.arange(num_frames + 1))
        return pa.LargeListArray.from_arrays(pa.array(ends, pa.int64()), pa.array(values))
    if values.ndim == 1:
        taken = pa.array(values)
    elif values.dtype == np.uint8:  # as a list, each byte would take Parquet several while it is written
        offsets = np.arange(len(values) + 1, dtype=np.int64) * values.shape[1]
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(values))]
        taken = pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(values), buffers)
    else:
        taken = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
    if len(frame) == num_frames:
        return taken
    positions = np.full(num_frames, -1)
    positions[frame] = np.arange(len(frame))
    return taken.take(pa.array(positions, mask=positions < 0))


def _from_columns(columns: Mapping[str, Any], num_frames: int) -> Samples:
    """The samples of one measure: the frames at which its columns are not null."""
    if not columns:
        return Samples(np.zeros(0, np.int64), {})
    is_taken = next(iter(columns.values())).is_valid()
    frame = np.flatnonzero(is_taken.to_numpy(zero_copy_only=False)).astype(np.int64)
    if pa.types.is_large_list(next(iter(columns.values())).type):
        counts = next(iter(columns.values())).value_lengths().to_numpy(zero_copy_only=False)
        flat = {name: column.flatten().to_numpy(zero_copy_only=False) for name, column in columns.items()}
        return Samples(np.repeat(frame, counts), flat)
    values: dict[str, NDArray[Any]] = {}
    for name, column in columns.items():
        taken = column.filter(is_taken)
        if pa.types.is_fixed_size_list(column.type):
            flat = taken.flatten().to_numpy(zero_copy_only=False)
            values[name] = flat.reshape(len(frame), column.type.list_size)
        elif pa.types.is_large_binary(column.type):
            joined = np.frombuffer(b"".join(taken.to_pylist()), np.uint8)
            values[name] = joined.reshape(len(frame), -1) if len(frame) else joined.reshape(0, 0)
        else:
            values[name] = taken.to_numpy(zero_copy_only=False)
    return Samples(frame, values)
