"""Tasks about one clip, made from rows of the manifest."""

from dataclasses import replace
from fractions import Fraction
from functools import cache

from stages.tasks import Clip, Frames, Row, Span, Video, VideoLength, VideoTask

FRAME_COLUMNS = (
    "partition",
    "video_id",
    "uri",
    "etag",
    "clip_id",
    "start_pts",
    "end_pts",
    "time_base",
    "start_frame",
    "end_frame",
    "shot_start_pts",
    "shot_end_pts",
    "frames_key",
    "frames_fps",
    "frames_max_px",
)
"""Columns that a row must have so that the frames of its clip can be loaded."""

FRAME_KEY_COLUMNS = ("clip_id", "frames_key", "shot_start_pts", "shot_end_pts")
"""Columns of `FRAME_COLUMNS` that determine the frames of a clip, for a row key. The shot is one of them: if no
sampled frame lies in the clip, the nearest one of its shot is taken."""

CLIP_TASK_FIELDS = ("data.clips",)
"""Fields that a task of `clip_task` holds, for `Pipeline(provides=...)`."""


def clip_task(item: Row, task_id: str) -> VideoTask:
    """A task whose video has exactly one clip; ``clip.columns`` is the whole row, the group is the video."""
    span = Span(item["start_pts"], item["end_pts"], _fraction(item["time_base"]))
    clip = Clip(
        item["clip_id"],
        span,
        item["start_frame"],
        item["end_frame"],
        columns=item,
        scores=dict(item.get("scores") or {}),
    )
    video = Video(item["video_id"], item["uri"], item["partition"], columns=item, clips=(clip,))
    return VideoTask(task_id, item["video_id"], data=video)


def clip_length(item: Row) -> VideoLength:
    """Length of the clip of a row that `clip_task` takes."""
    seconds = (item["end_pts"] - item["start_pts"]) * _seconds_per_pts(item["time_base"])
    return VideoLength(seconds, item["end_frame"] - item["start_frame"])


@cache
def _fraction(time_base: str) -> Fraction:
    return Fraction(time_base)


@cache
def _seconds_per_pts(time_base: str) -> float:
    return float(Fraction(time_base))


def with_clip(task: VideoTask, clip: Clip) -> VideoTask:
    """A copy of the task with this clip in place of its own."""
    return replace(task, data=replace(task.data, clips=(clip,)))


def with_frames(task: VideoTask, frames: Frames) -> VideoTask:
    """A copy of the task whose clip has these frames."""
    return with_clip(task, replace(task.data.clip, frames=frames))


def shot_of(clip: Clip) -> Span:
    """The shot that the clip lies in; the clip itself where its row names no shot."""
    start, end = clip.columns.get("shot_start_pts"), clip.columns.get("shot_end_pts")
    if start is None or end is None:
        return clip.span
    return Span(start, end, clip.span.time_base)


def evenly_spaced_indices(total: int, wanted: int) -> list[int]:
    """Indices of `wanted` of `total` items: the middle of each of `wanted` equal parts; all where there are fewer.

        total 10, wanted 3:   . x . | . . x | . . x .      -> 1, 5, 8

    Raises:
        ValueError: `wanted` is below 1.
    """
    if wanted < 1:
        raise ValueError(f"wanted must be at least 1, got {wanted}.")
    if total <= wanted:
        return list(range(total))
    return [(2 * part + 1) * total // (2 * wanted) for part in range(wanted)]
