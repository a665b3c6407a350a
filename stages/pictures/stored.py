"""One JPEG of a clip out of its video's frame store: of hours of video, one row group is fetched."""

from dataclasses import dataclass

from stages.errors import StageError, StorageError
from stages.media import FrameStore, StoreDamaged, StoreReplaced, open_store
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
        with open_store(storage, row["partition"], row["video_id"]) as store:
            return _from_store(store, row)
    except FileNotFoundError:
        return Stored(lack=NO_STORE)
    except (StoreDamaged, StoreReplaced, StageError, StorageError):
        return Stored(lack=UNREADABLE)


def _from_store(store: FrameStore, row: Row) -> Stored:
    if not len(store):
        return Stored(lack=NONE_INSIDE)
    start, end = row.get("start_pts"), row.get("end_pts")
    if start is None or end is None:
        start, end = 0, store.end_pts
    place = store.nearest((start + end) // 2, 0, len(store))
    (pts,) = store.times([place]).pts
    shot_start, shot_end = row.get("shot_start_pts"), row.get("shot_end_pts")
    first = start if shot_start is None else min(start, shot_start)
    last = end if shot_end is None else max(end, shot_end)
    if not first <= pts < last:
        return Stored(lack=NONE_INSIDE)
    (jpeg,) = store.jpegs([place])
    return Stored(jpeg)
