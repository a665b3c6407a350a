"""Loads the frames of a clip from the frame store of its video."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from stages import heartbeat
from stages.errors import Reason, SourceChanged, StageError, StorageError
from stages.media.clean_area import Box
from stages.media.clip_tasks import evenly_spaced_indices, shot_of
from stages.media.frame_store import FrameStore, StoreDamaged, StoreReplaced, Times, frames_key, open_store
from stages.media.frames import rebuild_store
from stages.media.lasting_marks import CLIP_PICTURES, LastingMarks, find_lasting_marks
from stages.storage import Storage, stat_source
from stages.tasks import Clip, Frames, Video

T = TypeVar("T")

OVERVIEW_STRETCHES = 12
"""Places of a video, spread evenly, that are looked at for what stands in all of it: a store is read by stretches."""
STRETCH_PICTURES = 16
"""In a row at each place, of which `STRETCH_TAKEN` are decoded."""
STRETCH_TAKEN = 4
MAX_OPENS = 3
"""Attempts to read a store that other runs keep replacing."""


class FrameLoader:
    """Reads frames from frame stores. Keeps the last store open, since the clips of one video follow each other."""

    def __init__(self, root: str, *, max_frames: int | None = None) -> None:
        self._storage = Storage(root)
        self._max_frames = max_frames
        self._store: FrameStore | None = None
        self._marks: tuple[str, LastingMarks] | None = None

    def load(self, video: Video, chosen: Sequence[int] | None = None) -> Frames:
        """Pictures of the video's one clip, in presentation order.

        Args:
            video: with its clip.
            chosen: ascending positions among the clip's pictures, as `clip_times` tells them; only these are decoded.
                None for all.

        Raises:
            SourceError: the store had to be rebuilt, and the source cannot be decoded or was replaced.
            StageError: the store has no picture of the clip's shot, or does not match the clip's ``frames_key``.
        """
        return self._read(video, lambda store: self._decode(video, store, chosen))

    def lasting_marks(self, video: Video) -> list[Box]:
        """What stands in all scenes of the video, and in the pictures of its one clip, which must be loaded.

        Raises:
            SourceError, StageError: as `load`.
        """
        key = video.clip.columns["frames_key"]
        if self._marks is None or self._marks[0] != key:
            self._marks = (key, self._read(video, _marks_of))
        frames = video.clip.frames
        if frames is None or not self._marks[1].edges:
            return []
        return self._marks[1].within(_luma(frames.images[evenly_spaced_indices(len(frames), CLIP_PICTURES)]))

    def times(self, video: Video) -> list[int]:
        """PTS of the pictures that `load` would return without a limit on their number. Decodes no picture.

        Raises:
            SourceError, StageError: as `load`.
        """
        return self.clip_times(video).pts.tolist()

    def clip_times(self, video: Video) -> Times:
        """Times and frame numbers of all pictures of the clip, at least one. Decodes no picture.

        Raises:
            SourceError, StageError: as `load`.
        """
        return self._read(video, lambda store: store.times(_clip_positions(video.clip, store)))

    def close(self) -> None:
        """Close the open store. `load` and `times` may be called again."""
        if self._store is not None:
            self._store.close()
        self._store = None

    def _read(self, video: Video, read: Callable[[FrameStore], T | None]) -> T:
        """The result of `read` on the video's store, which is rebuilt once if it is damaged or lacks the picture."""
        try:
            result = self._read_unreplaced(video, read)
            if result is None:  # a damaged cache must not fail the clip, only an unreadable source may
                result = _none_if_damaged(read, self._rebuild(video))
        except (StageError, StorageError):  # a store is unusable after a failed read
            self.close()
            raise
        if result is None:
            raise StageError(
                f"Pictures of video {video.video_id} must be JPEGs, and were not even after they were made anew. "
                "Check the disk that holds the frames folder.",
                Reason.STORAGE,
            )
        return result

    def _read_unreplaced(self, video: Video, read: Callable[[FrameStore], T | None]) -> T | None:
        for _ in range(MAX_OPENS):
            try:
                return _none_if_damaged(read, self._open_matching(video))
            except StoreReplaced:
                self.close()
        raise StageError(
            f"The frame store of video {video.video_id} must stay while it is read, and was replaced {MAX_OPENS} times "
            "by other runs. The next run tries again.",
            Reason.STORAGE,
        )

    def _open_matching(self, video: Video) -> FrameStore:
        wanted = video.clip.columns["frames_key"]
        if self._store is None or self._store.key != wanted:
            self.close()
            self._store = self._open(video)
        if self._store is None or self._store.key != wanted:
            return self._rebuild(video)
        return self._store

    def _open(self, video: Video) -> FrameStore | None:
        try:
            return open_store(self._storage, video.partition, video.video_id)
        except (FileNotFoundError, StoreDamaged):
            return None

    def _rebuild(self, video: Video) -> FrameStore:
        columns = video.clip.columns
        made = frames_key(video.video_id, columns["frames_fps"], columns["frames_max_px"])
        if made != columns["frames_key"]:
            raise StageError(
                f"frames_key must be {made} for {columns['frames_fps']} pictures a second of "
                f"{columns['frames_max_px']} px, got {columns['frames_key']}: another version made the clip. "
                "Run split again."
            )
        check_source(video)
        self.close()
        self._store = rebuild_store(
            self._storage,
            video.uri,
            video.partition,
            video.video_id,
            fps=columns["frames_fps"],
            max_px=columns["frames_max_px"],
        )
        return self._store

    def _decode(self, video: Video, store: FrameStore, chosen: Sequence[int] | None) -> Frames | None:
        inside = _clip_positions(video.clip, store)
        if chosen is not None:
            inside = [inside[position] for position in chosen]
        positions = [
            inside[position] for position in evenly_spaced_indices(len(inside), self._max_frames or len(inside))
        ]
        images = _decode_jpegs(store.jpegs(positions))
        if images is None:
            return None
        times = store.times(positions)
        return Frames(times.pts, images, times.frame)


def check_source(video: Video) -> None:
    """Check that a source is the one that split has seen.

    Raises:
        SourceChanged: it is not.
        SourceError: it is gone.
    """
    etag = video.clip.columns.get("etag")
    if etag and stat_source(video.uri).etag != etag:
        raise SourceChanged(
            video.uri, f"The source is no longer the one that was split: {video.uri}. Run read and split again."
        )


def _none_if_damaged(read: Callable[[FrameStore], T | None], store: FrameStore) -> T | None:
    try:
        return read(store)
    except StoreDamaged:
        return None


def _marks_of(store: FrameStore) -> LastingMarks | None:
    images = _decode_jpegs(store.jpegs(_overview(len(store))))
    if images is None:
        return None
    return find_lasting_marks(_luma(images))


def _luma(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images])


def _overview(count: int) -> list[int]:
    """Positions of pictures spread over a store: all places of a short one, stretches of a long one."""
    if count <= OVERVIEW_STRETCHES * STRETCH_PICTURES:
        return evenly_spaced_indices(count, OVERVIEW_STRETCHES * STRETCH_TAKEN)
    starts = evenly_spaced_indices(count - STRETCH_PICTURES, OVERVIEW_STRETCHES)
    inside = evenly_spaced_indices(STRETCH_PICTURES, STRETCH_TAKEN)
    return [start + each for start in starts for each in inside]


def _clip_positions(clip: Clip, store: FrameStore) -> list[int]:
    """Positions of the clip's pictures in the store, at least one."""
    inside = store.within(clip.span, shot_of(clip))
    if not inside:
        raise StageError(
            f"Clip {clip.clip_id} requires a picture of its shot in the frame store, got none. Raise split.frames_fps."
        )
    return inside


def _decode_jpegs(jpegs: Iterable[bytes]) -> np.ndarray | None:
    """Decoded pictures, uint8 ``[N, H, W, 3]`` RGB; None if one of them does not decode."""
    images: list[np.ndarray] = []
    for jpeg in jpegs:
        heartbeat.beat()
        data = np.frombuffer(jpeg, np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
        if image is None:
            return None
        images.append(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    return np.stack(images)
