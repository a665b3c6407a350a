"""Committed `clips` tables and tasks for tests of the phases after split, made without running split."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from stages.manifest import ManifestRef
from stages.media import clip_task, frames_key
from stages.sources import Source
from stages.stage import NodeInfo, WorkerMetadata
from stages.storage import digest, stat_source
from stages.tasks import Clip, Frames, Row, Span, VideoTask
from tests.made_tables import commit_items
from tests.videos import Picture

PARTITION = "p"
FPS, MAX_PX = 4.0, 96
WORKER = WorkerMetadata("test", NodeInfo("local", 1.0, 0.0))


def clip_row(video: Path, start_frame: int, end_frame: int, **columns: Any) -> Row:
    """A row of `clips` for frames [start, end) of a video of constant rate whose first PTS is 0."""
    info = stat_source(str(video))
    source = Source(str(video), info.etag, info.size_bytes)
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        assert stream.average_rate is not None
        time_base, width, height = stream.time_base, stream.width, stream.height
        step = int(1 / (stream.average_rate * time_base))
    return {
        "partition": PARTITION,
        "video_id": source.video_id,
        "uri": source.uri,
        "etag": source.etag,
        "size_bytes": source.size_bytes,
        "clip_id": digest(source.video_id, str(start_frame), str(end_frame)),
        "start_pts": start_frame * step,
        "end_pts": end_frame * step,
        "time_base": str(time_base),
        "start_s": float(start_frame * step * time_base),
        "end_s": float(end_frame * step * time_base),
        "start_frame": start_frame,
        "end_frame": end_frame,
        "shot_start_pts": start_frame * step,
        "shot_end_pts": end_frame * step,
        "width": width,
        "height": height,
        "frames_key": frames_key(source.video_id, FPS, MAX_PX),
        "frames_fps": FPS,
        "frames_max_px": MAX_PX,
        "flow_mean": 0.1,
        "interlaced_share": 0.0,
        "field_order": None,
        "hdr_peak_nits": None,
        "status": "kept",
        **columns,
    }


def video_task(row: Row) -> VideoTask:
    """The task of a row, with the clip id as task id."""
    return clip_task(row, row["clip_id"])


def commit_rows(root: Path, asset: str, rows: list[Row]) -> ManifestRef:
    """Commit these rows as the asset's table of the test partition, one item each."""
    ref = ManifestRef(str(root), asset, PARTITION)
    commit_items(ref, ((digest(*(str(value) for value in row.values())), [row]) for row in rows))
    return ref


def clip_of(pictures: list[Picture], **columns: Any) -> Clip:
    """A clip with these pictures as frames, half a second apart."""
    span = Span(0, len(pictures), Fraction(1, 2))
    frames = Frames(np.arange(len(pictures), dtype=np.int64), np.stack(pictures))
    return Clip("clip", span, 0, len(pictures), columns=columns, frames=frames)
