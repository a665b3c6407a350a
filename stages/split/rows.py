"""Rows of the table `clips`, made of a video's pieces."""

from typing import Any

from stages.media import frames_key
from stages.params import SplitParams
from stages.split.spans import Piece
from stages.split.timeline import Timeline
from stages.split.transitions import Transition
from stages.storage import digest
from stages.tasks import Clip, Row, Span, Task, Video, VideoTask

SOURCE_COLUMNS = (
    "etag",
    "size_bytes",
    "width",
    "height",
    "rotation",
    "codec",
    "audio_codec",
    "is_mirrored",
    "is_hdr",
    "bit_depth",
    "average_rate",
)
"""Columns of `videos` that are copied to each of its clips."""


def clip_id(video_id: str, span: Span) -> str:
    """Id of a clip: a hash of video and span, independent of the parameters that made the clip."""
    return digest(video_id, str(span.start_pts), str(span.end_pts), str(span.time_base), length=20)


def make_clip(video: Video, piece: Piece, timeline: Timeline) -> Clip:
    """The clip of a piece; its columns describe the transitions and keyframes at its ends."""
    span, shot = timeline.span(piece.start, piece.end), piece.shot
    before = shot.before if piece.starts_at_cut else None
    after = shot.after if piece.ends_at_cut else None
    columns: dict[str, Any] = {
        "starts_at_cut": piece.starts_at_cut,
        "ends_at_cut": piece.ends_at_cut,
        "start_probability": shot.start_probability,
        "end_probability": shot.end_probability,
        "shot_start_pts": timeline.at(shot.start),
        "shot_end_pts": timeline.at(shot.end),
        "start_transition": before.kind if before else None,
        "start_transition_pts": timeline.at(before.start) if before else None,
        "start_transition_s": _length_s(timeline, before) if before else None,
        "end_transition": after.kind if after else None,
        "end_transition_pts": timeline.at(after.end) if after else None,
        "end_transition_s": _length_s(timeline, after) if after else None,
        "start_is_keyframe": timeline.is_key(piece.start),
        "end_is_keyframe": timeline.is_key(piece.end),
    }
    return Clip(clip_id(video.video_id, span), span, piece.start, piece.end, columns=columns)


def _length_s(timeline: Timeline, transition: Transition) -> float:
    return float((timeline.at(transition.end) - timeline.at(transition.start)) * timeline.time_base)


def shared_columns(video: Video, params: SplitParams, num_frames: int) -> Row:
    """Column values that all clips of a video share."""
    return {
        **{name: video.columns.get(name) for name in SOURCE_COLUMNS},
        "method": params.method,
        "frames_key": frames_key(video.video_id, params.frames_fps, params.frames_max_px),
        "frames_fps": params.frames_fps,
        "frames_max_px": params.frames_max_px,
        "video_frames": num_frames,
    }


def collect_clips(task: Task) -> list[Row]:
    """One kept row per clip. A decoding error of the video is stored in the row of its last clip."""
    if not isinstance(task, VideoTask):
        raise TypeError(f"task must be a VideoTask, got {type(task).__name__}.")
    video = task.data
    rows = [_row(video, clip) for clip in video.clips]
    rows[-1]["error"] = video.error
    return rows


def _row(video: Video, clip: Clip) -> Row:
    return {
        "partition": video.partition,
        "video_id": video.video_id,
        "uri": video.uri,
        "status": "kept",
        "clip_id": clip.clip_id,
        "start_pts": clip.span.start_pts,
        "end_pts": clip.span.end_pts,
        "time_base": str(clip.span.time_base),
        "start_s": clip.span.start_s,
        "end_s": clip.span.end_s,
        "start_frame": clip.start_frame,
        "end_frame": clip.end_frame,
        **clip.columns,
    }
