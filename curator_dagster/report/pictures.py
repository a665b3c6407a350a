"""Pictures of clips as they lie under the root: the dataset's previews, else stills of the frame store.

Nothing is decoded or made smaller here: the Dagster side has no codec.
"""

import base64
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stages.storage import Storage

Row = dict[str, Any]

READERS = 8
_LARGEST_SHARE = 20
"""No preview takes more than one part in so many; of a clip whose preview would, stills are shown."""
_STILLS = (0.5, 0.15, 0.85)
"""Where in the clip stills are taken, the most telling first."""


@dataclass(frozen=True)
class Picture:
    """One picture of a clip.

    Attributes:
        kind: its media type.
        data: base64, as it stands in the page.
        at: orders the stills of a clip in time.
    """

    kind: str
    data: str
    at: int = 0


def pick_pictures(storage: Storage, clips: Sequence[Row], max_bytes: int) -> dict[str, list[Picture]]:
    """Pictures by clip id, in order of time, that take at most so many bytes together; empty where none is stored.

    Clips are served in their order until one does not fit; those after it are missing. What is left goes to the other
    stills of those that were served.

    Raises:
        StorageError: the store does not answer.
    """
    picked: dict[str, list[Picture]] = {}
    spare: list[tuple[str, Picture]] = []
    left = max_bytes
    for clip, found in _read_each(storage, clips, max_bytes // _LARGEST_SHARE):
        left -= sum(len(picture.data) for picture in found[:1])
        if left < 0:
            break
        picked[clip["id"]] = found[:1]
        spare += [(clip["id"], picture) for picture in found[1:]]
    for clip_id, picture in spare:
        left -= len(picture.data)
        if left < 0:
            break
        picked[clip_id].append(picture)
    return {clip_id: sorted(found, key=lambda picture: picture.at) for clip_id, found in picked.items()}


def _read_each(storage: Storage, clips: Iterable[Row], largest: int) -> Iterator[tuple[Row, list[Picture]]]:
    """Each clip with its pictures; only a few more are read than are taken."""
    waiting = iter(clips)
    with ThreadPoolExecutor(READERS, "pictures") as pool:
        while batch := list(islice(waiting, READERS)):
            yield from zip(batch, pool.map(lambda clip: _pictures(storage, clip, largest), batch), strict=True)


def _pictures(storage: Storage, clip: Row, largest: int) -> list[Picture]:
    if clip["preview_path"]:
        try:
            preview = _picture("image/webp", storage.read_bytes(clip["preview_path"]))
        except FileNotFoundError:
            return _stills(storage, clip)
        if len(preview.data) <= largest:
            return [preview]
    return _stills(storage, clip)


def _stills(storage: Storage, clip: Row) -> list[Picture]:
    """Some stored frames of the clip, the most telling first; none where the store is missing or damaged.

    The frame store is a cache, so that it may be both. A long video's is large: only the row groups that hold the
    frames are read.
    """
    try:
        with storage.open(f"frames/{clip['partition']}/{clip['video_id']}.parquet") as handle:
            file = pq.ParquetFile(handle)
            places = _places(file.read(["pts"])["pts"].to_numpy(), clip["start_pts"], clip["end_pts"])
            return [_picture("image/jpeg", _jpeg(file, place), place) for place in places]
    except FileNotFoundError:
        return []
    except (pa.ArrowException, OSError, KeyError):  # Arrow tells of damaged pages by an OSError
        return []


def _places(pts: np.ndarray, start: int, end: int) -> list[int]:
    """Of the frames inside a span those nearest to some points of it, each once; none where it is too short for one."""
    inside = np.flatnonzero((pts >= start) & (pts < end))
    if not len(inside):
        return []
    points = (start + share * (end - start) for share in _STILLS)
    return list(dict.fromkeys(int(inside[np.abs(pts[inside] - point).argmin()]) for point in points))


def _jpeg(file: pq.ParquetFile, place: int) -> bytes:
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if place < rows:
            return file.read_row_group(group, ["jpeg"])["jpeg"][place].as_py()
        place -= rows
    raise KeyError(place)


def _picture(kind: str, data: bytes, at: int = 0) -> Picture:
    return Picture(kind, base64.b64encode(data).decode("ascii"), at)
