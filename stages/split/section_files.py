"""What is kept of a long video while it is worked on in sections: arrays in Parquet files, beside its signals.

    {root}/manifests/signals/{partition}/{video_id}.{key}.{plan}.{name}.parquet

They are removed once the signals of the video stand. `curator vacuum` removes those of runs that never went on.
"""

import io
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stages.signals import Samples
from stages.storage import Storage

logger = logging.getLogger(__name__)

_FACTS = b"facts"
_SCHEMA = pa.schema(
    {"name": pa.string(), "dtype": pa.string(), "shape": pa.list_(pa.int64()), "data": pa.large_binary()}
)


@dataclass(frozen=True)
class Arrays:
    """Contents of one file.

    Attributes:
        arrays: by name.
        facts: whatever JSON holds.
    """

    arrays: Mapping[str, NDArray[Any]]
    facts: Mapping[str, Any] = field(default_factory=lambda: {})

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.arrays[name]

    def below(self, name: str) -> dict[str, NDArray[Any]]:
        """The arrays whose names begin with this one and a slash, by the rest of their names."""
        start = f"{name}/"
        return {each.removeprefix(start): values for each, values in self.arrays.items() if each.startswith(start)}


def arrays_of(name: str, samples: Samples) -> dict[str, NDArray[Any]]:
    """The samples of a measure as arrays of a file."""
    return {
        f"{name}/frame": samples.frame,
        **{f"{name}/values/{each}": values for each, values in samples.values.items()},
    }


def samples_of(content: Arrays, name: str) -> Samples:
    """The samples of a measure that `arrays_of` put into a file."""
    return Samples(content[f"{name}/frame"], content.below(f"{name}/values"))


def file_path(prefix: str, name: str) -> str:
    """Path of a file, relative to the root."""
    return f"{prefix}.{name}.parquet"


def write_arrays(storage: Storage, path: str, content: Arrays) -> None:
    """Write the file, whole or not at all."""
    schema = _SCHEMA.with_metadata({_FACTS: json.dumps(dict(content.facts))})
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, schema, compression="zstd", use_dictionary=False, write_page_checksum=True) as writer:
        for name, values in content.arrays.items():
            # A row group of each, made of its own memory: of a large one no second copy is held.
            data = pa.py_buffer(np.ascontiguousarray(values).reshape(-1).view(np.uint8))
            offsets = pa.py_buffer(np.array([0, data.size], np.int64))
            columns = [[name], [values.dtype.str], [list(values.shape)]]
            held = pa.LargeBinaryArray.from_buffers(pa.large_binary(), 1, [None, offsets, data])
            writer.write_table(pa.table([*columns, held], schema=schema))
    storage.write_bytes(path, buffer.getvalue())


def read_arrays(storage: Storage, path: str) -> Arrays | None:
    """The contents of a file; None where there is none, or it is damaged.

    Raises:
        StorageError: the root does not answer.
    """
    if not storage.exists(path):
        return None
    data = storage.read_bytes(path)
    try:
        table = pq.read_table(io.BytesIO(data), page_checksum_verification=True)
        facts = json.loads((table.schema.metadata or {})[_FACTS])
        columns = (table[name] for name in _SCHEMA.names)
        return Arrays({name.as_py(): _array(*rest) for name, *rest in zip(*columns, strict=True)}, facts)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        logger.warning(
            "A part of a video is worked on again, its file %s is damaged: %s", storage.location(path), error
        )
        return None


def _array(dtype: pa.Scalar, shape: pa.Scalar, data: pa.Scalar) -> NDArray[Any]:
    return np.frombuffer(data.as_buffer() or b"", np.dtype(dtype.as_py())).reshape(shape.as_py())
