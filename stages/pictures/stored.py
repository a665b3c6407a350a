"""One JPEG of a clip out of its video's frame store, by ranges: of hours of video, one row group is fetched."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stages.errors import StorageError
from stages.media import store_path
from stages.storage import Storage
from stages.tasks import Row

NO_STORE = "the frame store is gone, or was never made"
UNREADABLE = "the frame store cannot be read"
NONE_INSIDE = "the frame store holds no picture of the clip"


@dataclass(frozen=True, slots=True)
class Stored:
    """What was found for a clip.

    Attributes:
        jpeg: the picture, which may be broken; empty where there is none.
        lack: why there is none.
    """

    jpeg: bytes = b""
    lack: str = ""


def stored_picture(storage: Storage, row: Row) -> Stored:
    """The picture nearest to the middle of the row's clip; of the whole video where the row has no clip.

    One outside the clip is taken only from the same shot, as far as the row names it.
    """
    try:
        with storage.open(store_path(row["partition"], row["video_id"])) as handle:
            return _from_file(pq.ParquetFile(handle), row)
    except FileNotFoundError:
        return Stored(lack=NO_STORE)
    except (pa.ArrowException, StorageError, OSError, KeyError, ValueError):
        return Stored(lack=UNREADABLE)


def _from_file(file: pq.ParquetFile, row: Row) -> Stored:
    ends = _ends_of_row_groups(file)
    if not len(ends):
        return Stored(lack=NONE_INSIDE)
    start, end = row.get("start_pts"), row.get("end_pts")
    if start is None or end is None:
        start, end = 0, int(ends[-1]) + 1
    middle = (start + end) // 2
    group = min(int(np.searchsorted(ends, middle)), len(ends) - 1)
    found = _nearest(file, [group], middle)
    if not start <= found.pts < end and group:
        found = _nearest(file, [group - 1, group], middle)
    shot_start, shot_end = row.get("shot_start_pts"), row.get("shot_end_pts")
    first = start if shot_start is None else min(start, shot_start)
    last = end if shot_end is None else max(end, shot_end)
    return Stored(found.jpeg) if first <= found.pts < last else Stored(lack=NONE_INSIDE)


class _Picture(NamedTuple):
    pts: int
    jpeg: bytes


def _nearest(file: pq.ParquetFile, groups: list[int], middle: int) -> _Picture:
    table = file.read_row_groups(groups, columns=["pts", "jpeg"])
    pts = table["pts"].to_numpy()
    place = int(np.abs(pts - middle).argmin())
    return _Picture(int(pts[place]), table["jpeg"][place].as_py())


def _ends_of_row_groups(file: pq.ParquetFile) -> NDArray[np.int64]:
    """Last PTS of each row group, int64 ``[N]``, out of the file's footer."""
    groups = (file.metadata.row_group(index) for index in range(file.metadata.num_row_groups))
    column = file.schema_arrow.get_field_index("pts")
    return np.array([group.column(column).statistics.max for group in groups], np.int64)
