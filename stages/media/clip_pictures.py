"""Pictures of a clip decoded from its source, where the frame store has too few or too small ones."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from stages import heartbeat
from stages.media.decode import DecodedFrame
from stages.media.deinterlacing import deinterlaced
from stages.media.frame_loader import check_source
from stages.media.interlace import to_deinterlace
from stages.media.span_frames import SourceSpan, read_span
from stages.media.upright import UprightScaler, displayed_size, fit
from stages.tasks import Frames, Size, Video


def decode_pictures(video: Video, wanted: Sequence[int], *, max_px: int) -> Frames:
    """The frames of the video's one clip that are nearest to some times, each once.

    Counts ``decoded_clips``, and ``decoded_frames``, those of the whole span.

    Args:
        video: with its clip, whose row tells size, fields and restarts.
        wanted: PTS, in the stream's time base, at least one.
        max_px: longest side of a picture; it is scaled down, never up.

    Raises:
        SourceError: the source is another by now, or cannot be decoded.
        StageError: its span does not decode to the frames that split counted.
    """
    check_source(video)
    clip = video.clip
    columns = clip.columns
    part = SourceSpan(video.uri, clip.span, clip.num_frames, may_seek=not columns.get("num_restarts"))
    fields = to_deinterlace(columns.get("interlaced_share"), columns.get("field_order"))

    def take(frames: Iterator[DecodedFrame]) -> list[tuple[int, int, NDArray[np.uint8]]]:
        counted = _counted(frames)
        nearest = _nearest(deinterlaced(counted, fields) if fields is not None else counted, wanted)
        scalers: dict[Size, UprightScaler] = {}
        return [(each.pts, clip.start_frame + number, _picture(each, scalers, max_px)) for number, each in nearest]

    found = read_span(part, take)
    heartbeat.count("decoded_clips")
    size = found[0][2].shape
    # A source whose size changes inside the clip has pictures of several sizes; those of the first are one array.
    alike = [each for each in found if each[2].shape == size]
    pts, index, images = zip(*alike, strict=True)
    return Frames(np.array(pts, np.int64), np.stack(images), np.array(index, np.int64))


def scaled_down(frames: Frames, max_px: int) -> Frames:
    """The frames with at most so many pixels on their longest side."""
    _, height, width, _ = frames.images.shape
    longest = max(height, width)
    if longest <= max_px:
        return frames
    size = (max(1, round(width * max_px / longest)), max(1, round(height * max_px / longest)))
    images = [cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in frames.images]
    return Frames(frames.pts, np.stack(images).astype(np.uint8), frames.index)


def nearest_positions(pts: NDArray[np.int64], wanted: Iterable[int]) -> list[int]:
    """By wanted time, the position of the nearest of some rising times, of two the earlier."""
    return [int(np.abs(pts - time).argmin()) for time in wanted]


def _nearest(frames: Iterable[DecodedFrame], wanted: Iterable[int]) -> Iterator[tuple[int, DecodedFrame]]:
    """The frames nearest to each time, of two the earlier, each once, with their numbers from 0."""
    waiting = deque(sorted(set(wanted)))
    before: tuple[int, DecodedFrame] | None = None
    taken = -1
    for current in enumerate(frames):
        while waiting and waiting[0] <= current[1].pts:
            time = waiting.popleft()
            is_before = before is not None and time - before[1].pts <= current[1].pts - time
            nearest = before if before is not None and is_before else current
            if nearest[0] > taken:
                taken = nearest[0]
                yield nearest
        before = current
    if waiting and before is not None and before[0] > taken:
        yield before


def _counted(frames: Iterable[DecodedFrame]) -> Iterator[DecodedFrame]:
    for decoded in frames:
        heartbeat.count("decoded_frames")
        yield decoded


def _picture(decoded: DecodedFrame, scalers: dict[Size, UprightScaler], max_px: int) -> NDArray[np.uint8]:
    """As the frame store makes it, without JPEG: uint8 ``[H, W, 3]`` RGB."""
    size = fit(displayed_size(decoded.frame, decoded.pixel_aspect), max_px)
    if size not in scalers:
        scalers[size] = UprightScaler(size, pixel_format="bgr24")
    return scalers[size](decoded.frame)[..., ::-1]
