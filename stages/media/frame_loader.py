"""Pictures of clips out of the frame store of their video."""

from collections.abc import Iterable

import cv2
import numpy as np

from stages import heartbeat
from stages.errors import Reason, SourceChanged, StageError
from stages.media.clip_tasks import evenly_spaced_indices as spread
from stages.media.clip_tasks import shot_of
from stages.media.frames import FrameStore, frames_key, read_store, rebuild_store
from stages.media.load_frames import Pick
from stages.storage import Storage, stat_source
from stages.tasks import Clip, Frames, Video


class FrameLoader:
    """Reads one store after another, keeping the last: clips of one video come together."""

    def __init__(self, root: str, *, max_frames: int | None = None, pick: Pick | None = None) -> None:
        self._storage = Storage(root)
        self._max_frames = max_frames
        self._pick = pick
        self._store: FrameStore | None = None

    def load(self, video: Video) -> Frames:
        """Pictures of the video's one clip, in presentation order.

        Raises:
            SourceError: the store had to be made anew and the source cannot be decoded, or is another one now.
            StageError: no picture lies in the clip's shot, or the store does not fit the clip.
        """
        frames = self._decode(video, self._store_of(video))
        if frames is None:  # a cache may rot; the source decides whether the clip is lost
            frames = self._decode(video, self._rebuild(video))
        if frames is None:
            raise StageError(
                f"Pictures of video {video.video_id} must be JPEGs, and were not even after they were made anew. "
                "Check the disk that holds the frames folder.",
                Reason.STORAGE,
            )
        return frames

    def times(self, video: Video) -> list[int]:
        """PTS of the pictures that `load` would give, were there no limit on their number; none is decoded.

        Raises:
            SourceError, StageError: as `load`.
        """
        store = self._store_of(video)
        return store.pts[_inside(video.clip, store)].tolist()

    def _store_of(self, video: Video) -> FrameStore:
        wanted = video.clip.columns["frames_key"]
        if self._store is None or self._store.key != wanted:
            self._store = read_store(self._storage, video.partition, video.video_id)
        if self._store is None or self._store.key != wanted:
            return self._rebuild(video)
        return self._store

    def _rebuild(self, video: Video) -> FrameStore:
        columns = video.clip.columns
        made = frames_key(video.video_id, columns["frames_fps"], columns["frames_max_px"])
        if made != columns["frames_key"]:
            raise StageError(
                f"frames_key must be {made} for {columns['frames_fps']} pictures a second of "
                f"{columns['frames_max_px']} px, got {columns['frames_key']}: another version made the clip. "
                "Run split again."
            )
        if columns.get("etag") and stat_source(video.uri).etag != columns["etag"]:
            raise SourceChanged(
                video.uri, f"The source is no longer the one that was split: {video.uri}. Run read and split again."
            )
        self._store = rebuild_store(
            self._storage,
            video.uri,
            video.partition,
            video.video_id,
            fps=columns["frames_fps"],
            max_px=columns["frames_max_px"],
        )
        return self._store

    def _decode(self, video: Video, store: FrameStore) -> Frames | None:
        clip = video.clip
        inside = _inside(clip, store)
        if self._pick is not None:
            inside = [inside[place] for place in self._pick(clip, store.frame[inside].tolist())]
        places = [inside[place] for place in spread(len(inside), self._max_frames or len(inside))]
        images = _pictures(store.jpegs[place] for place in places)
        if images is None:
            return None
        return Frames(np.asarray(store.pts[places], np.int64), images, np.asarray(store.frame[places], np.int64))


def _inside(clip: Clip, store: FrameStore) -> list[int]:
    """Places of the clip's pictures in the store, at least one."""
    inside = store.within(clip.span, shot_of(clip))
    if not inside:
        raise StageError(
            f"Clip {clip.clip_id} requires a picture of its shot in the frame store, got none. Raise split.frames_fps."
        )
    return inside


def _pictures(jpegs: Iterable[bytes]) -> np.ndarray | None:
    """Uint8 ``[N, H, W, 3]`` RGB; None where one of them does not decode."""
    images: list[np.ndarray] = []
    for jpeg in jpegs:
        heartbeat.beat()
        data = np.frombuffer(jpeg, np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
        if image is None:
            return None
        images.append(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    return np.stack(images)
