"""Reads JPEGs of a clip from the frame store of its video. A row group each is fetched, however long the video is."""

from collections.abc import Sequence
from dataclasses import dataclass

from stages.errors import StageError, StorageError
from stages.media import FrameStore, StoreDamaged, StoreReplaced, open_store
from stages.storage import Storage
from stages.tasks import Row

NO_STORE = "the frame store is gone, or was never made"
UNREADABLE = "the frame store cannot be read"
NONE_INSIDE = "the frame store holds no picture of the clip"


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """The stored picture of a clip, or the reason why it is missing.

    Attributes:
        jpeg: bytes of the picture, which may be damaged; empty if it is missing.
        missing_reason: reason why the picture is missing; empty if it is not.
    """

    jpeg: bytes = b""
    missing_reason: str = ""


def stored_picture(storage: Storage, row: Row) -> StoredPicture:
    """The picture nearest to the middle of the row's clip, or of the whole video if the row has no clip.

    A picture outside the clip is taken only from the clip's shot, and only if the row names the shot.
    """
    try:
        with open_store(storage, row["partition"], row["video_id"]) as store:
            return _from_store(store, row)
    except FileNotFoundError:
        return StoredPicture(missing_reason=NO_STORE)
    except (StoreDamaged, StoreReplaced, StageError, StorageError):
        return StoredPicture(missing_reason=UNREADABLE)


def _from_store(store: FrameStore, row: Row) -> StoredPicture:
    if not len(store):
        return StoredPicture(missing_reason=NONE_INSIDE)
    start, end = row.get("start_pts"), row.get("end_pts")
    if start is None or end is None:
        start, end = 0, store.end_pts
    position = store.nearest((start + end) // 2, 0, len(store))
    (pts,) = store.times([position]).pts
    shot_start, shot_end = row.get("shot_start_pts"), row.get("shot_end_pts")
    first = start if shot_start is None else min(start, shot_start)
    last = end if shot_end is None else max(end, shot_end)
    if not first <= pts < last:
        return StoredPicture(missing_reason=NONE_INSIDE)
    (jpeg,) = store.jpegs([position])
    return StoredPicture(jpeg)


def stored_stills(storage: Storage, row: Row, shares: Sequence[float]) -> dict[int, bytes]:
    """JPEGs of the pictures inside a clip that are nearest to points of it, by position, in the order of the points.

    Empty where the store is missing, damaged or unreadable, or holds no picture of the clip: it is a cache.

    Args:
        storage: the root.
        row: names partition, video and span.
        shares: the points, as shares of the clip's length.

    Raises:
        StorageError: the object store does not answer.
    """
    start, end = row["start_pts"], row["end_pts"]
    try:
        with open_store(storage, row["partition"], row["video_id"]) as store:
            inside = store.between(start, end)
            if not inside:
                return {}
            points = (start + share * (end - start) for share in shares)
            positions = list(dict.fromkeys(store.nearest(point, inside.start, inside.stop) for point in points))
            jpegs = dict(zip(sorted(positions), store.jpegs(sorted(positions)), strict=True))
            return {position: jpegs[position] for position in positions}
    except (FileNotFoundError, StoreDamaged, StoreReplaced, StageError):
        return {}
