"""What travels between stages: a task, the video it is about, that video's clips, and what can become of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.errors import Reason

Row = dict[str, Any]
"""One output row, by column name."""


@dataclass(frozen=True, slots=True, order=True)
class Size:
    """Width and height in pixels, as displayed (after rotation and pixel aspect)."""

    width: int
    height: int


def exact(seconds: float) -> Fraction:
    """The fraction that a float was written as: 0.1 is 1/10."""
    return Fraction(repr(float(seconds)))


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open stretch [start, end) of one stream, in PTS.

    Attributes:
        start_pts: PTS of the first frame inside.
        end_pts: PTS of the first frame after, or the end of the last frame.
        time_base: seconds per unit of PTS, exact.
    """

    start_pts: int
    end_pts: int
    time_base: Fraction

    @property
    def start_s(self) -> float:
        """Start in seconds on the stream's own clock."""
        return float(self.start_pts * self.time_base)

    @property
    def end_s(self) -> float:
        """End in seconds on the stream's own clock."""
        return float(self.end_pts * self.time_base)

    @property
    def duration_s(self) -> float:
        """Length in seconds, converted once from the exact difference."""
        return float((self.end_pts - self.start_pts) * self.time_base)


@dataclass(frozen=True, slots=True)
class Frames:
    """Pictures sampled from a clip, in presentation order.

    Attributes:
        pts: int64 ``[N]``, in the stream's time base.
        images: uint8 ``[N, H, W, 3]``, RGB.
        index: int64 ``[N]``, of the frame in the video, in presentation order from 0; None where it is not known.
    """

    pts: NDArray[np.int64]
    images: NDArray[np.uint8]
    index: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.pts)

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        return int(self.pts.nbytes + self.images.nbytes)


@dataclass(frozen=True, slots=True)
class Window:
    """Part of a clip that a captioner is shown.

    Attributes:
        index: 0 for the first window of the clip.
        start_frame: first frame, counted from the start of the clip.
        end_frame: one past the last frame.
        captions: text by captioner's model name.
        tokens: output tokens by model name, where the model counts them.
        failures: why there is no text, by model name.
    """

    index: int
    start_frame: int
    end_frame: int
    captions: Mapping[str, str] = field(default_factory=lambda: {})
    tokens: Mapping[str, int | None] = field(default_factory=lambda: {})
    failures: Mapping[str, "Failed"] = field(default_factory=lambda: {})


@dataclass(frozen=True, slots=True)
class Clip:
    """A span of a video with an id; a file only once written.

    Attributes:
        clip_id: from the video and the span, hence the same in every run.
        span: where it lies, in PTS.
        start_frame: first frame, counted in presentation order from the start of the video.
        end_frame: one past the last frame.
        columns: everything else that its row in the manifest says, by column name.
        frames: sampled pictures, once a stage has loaded them.
        scores: by filter name; None where it could not be measured.
        embeddings: float32 ``[D]``, unit length, by model name.
        windows: what a captioner is shown, and what it said.
    """

    clip_id: str
    span: Span
    start_frame: int
    end_frame: int
    columns: Mapping[str, Any] = field(default_factory=lambda: {})
    frames: Frames | None = None
    scores: Mapping[str, float | None] = field(default_factory=lambda: {})
    embeddings: Mapping[str, NDArray[np.float32]] = field(default_factory=lambda: {})
    windows: tuple[Window, ...] = ()

    @property
    def num_frames(self) -> int:
        """Frames of the source inside the span."""
        return self.end_frame - self.start_frame


@dataclass(frozen=True, slots=True)
class Video:
    """A source video and the clips of it that the task is about.

    Attributes:
        video_id: from uri and content tag.
        uri: absolute path, or URL with its protocol.
        partition: the batch of sources it belongs to.
        columns: its row in the manifest, by column name (size_bytes, etag, codec, ...).
        clips: none before split, all of the video's in split, exactly one from filter on.
        error: what broke while it was decoded, where some of it could be used all the same.
    """

    video_id: str
    uri: str
    partition: str
    columns: Mapping[str, Any] = field(default_factory=lambda: {})
    clips: tuple[Clip, ...] = ()
    error: str | None = None

    @property
    def clip(self) -> Clip:
        """The one clip, from filter on.

        Raises:
            ValueError: the video carries none or several.
        """
        (clip,) = self.clips
        return clip


@dataclass(frozen=True, slots=True)
class Task:
    """A unit of data that flows through a pipeline.

    Attributes:
        task_id: unique within one run of a pipeline; results are reported under it.
        group: tasks of one batch share it, so that what they have in common is read once.
    """

    task_id: str
    group: str = ""

    @property
    def nbytes(self) -> int:
        """Bytes that it holds in memory, which is what queues between stages are bounded by."""
        return 0


@dataclass(frozen=True, slots=True)
class VideoTask(Task):
    """A task about one video."""

    data: Video = field(kw_only=True)

    @property
    def nbytes(self) -> int:
        """Bytes of the frames it carries."""
        return sum(clip.frames.nbytes for clip in self.data.clips if clip.frames is not None)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A rule said no. A judgement, not a failure.

    Attributes:
        reason: a `Reason`, or the name of the filter.
        detail: what was measured and what was required.
        columns: what is known of the row all the same.
        is_passing: what it was judged by may change by itself, so the next run judges again.
    """

    reason: str
    detail: str = ""
    columns: Mapping[str, Any] = field(default_factory=lambda: {})
    is_passing: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """The work could not be done.

    Attributes:
        reason: which word stands in the row; it also says whether the next run tries again.
        error: error class, message, and what to do.
        is_lasting: no wait of this run changes it (a full disk, a source that was removed), or it was waited for.
    """

    reason: Reason
    error: str
    is_lasting: bool = False
