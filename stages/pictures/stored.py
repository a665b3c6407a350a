"""Reads one JPEG of a clip from the frame store of its video. One row group is fetched, however long the video is."""

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
    """The stored picture of a clip, or the reason why it is missing.

    Attributes:
        jpeg: bytes of the picture, which may be damaged; empty if it is missing.
        lack: reason why the picture is missing; empty if it is not.
    """

    jpeg: bytes = b""
    lack: str = ""


def stored_picture(storage: Storage, row: Row) -> Stored:
    """The picture nearest to the middle of the row's clip, or of the whole video if the row has no clip.

    A picture outside the clip is taken only from the clip's shot, and only if the row names the shot.
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
