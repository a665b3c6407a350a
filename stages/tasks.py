"""The data that stages exchange: a task with its video and clips, and the outcomes of a task without result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from fractions import Fraction
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from stages.errors import Reason

Row = dict[str, Any]
"""One output row, by column name."""
C = TypeVar("C", bound=type)


def pickled_by_position(cls: C) -> C:
    """Let pickle take the fields of a frozen dataclass with slots one after another.

    The functions that `dataclass` gives it look all fields up at each call: of a task with its clip that takes twice as
    long as everything else that pickle does. A subclass has those, unless it is decorated too.
    """
    own: Any = cls
    names = tuple(each.name for each in fields(own))
    values_of, set_value = attrgetter(*names), object.__setattr__

    def get_state(self: Any) -> Sequence[Any]:
        if type(self) is own:
            return values_of(self)
        return [getattr(self, each.name) for each in fields(self)]

    def set_state(self: Any, state: Sequence[Any]) -> None:
        for name, value in zip(
            names if type(self) is own else [each.name for each in fields(self)], state, strict=True
        ):
            set_value(self, name, value)

    own.__getstate__, own.__setstate__ = get_state, set_state
    return cls


@dataclass(frozen=True, slots=True, order=True)
class Size:
    """Width and height in pixels, as displayed (after rotation and pixel aspect)."""

    width: int
    height: int


def exact_fraction(seconds: float) -> Fraction:
    """The fraction of a float's shortest decimal form: 0.1 is 1/10."""
    return Fraction(repr(float(seconds)))


@pickled_by_position
@dataclass(frozen=True, slots=True)
class Span:
    """A half-open interval [start, end) of one stream, in PTS.

    Attributes:
        start_pts: PTS of the first frame inside.
        end_pts: PTS of the first frame after it, or the end of the last frame.
        time_base: seconds per unit of PTS, exact.
    """

    start_pts: int
    end_pts: int
    time_base: Fraction

    @property
    def start_s(self) -> float:
        """Start in seconds, as the stream counts time."""
        return float(self.start_pts * self.time_base)

    @property
    def end_s(self) -> float:
        """End in seconds, as the stream counts time."""
        return float(self.end_pts * self.time_base)

    @property
    def duration_s(self) -> float:
        """Length in seconds, converted once from the exact difference."""
        return float((self.end_pts - self.start_pts) * self.time_base)


class VideoLength(NamedTuple):
    """Length of the video or clip that an item stands for; zeros where it is not known, or the item is neither."""

    seconds: float = 0.0
    frames: float = 0.0


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames sampled from a clip, in presentation order.

    Attributes:
        pts: int64 ``[N]``, in the stream's time base.
        images: uint8 ``[N, H, W, 3]``, RGB.
        index: int64 ``[N]``, index of each frame in the video, in presentation order from 0; None where unknown.
    """

    pts: NDArray[np.int64]
    images: NDArray[np.uint8]
    index: NDArray[np.int64] | None = None
    _luma: list[NDArray[np.uint8]] = field(default_factory=lambda: [], init=False, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.pts)

    def luma(self) -> NDArray[np.uint8]:
        """Luma (BT.601 weights), uint8 ``[N, H, W]``; computed at the first call."""
        if not self._luma:
            total = self.images[..., 0] * np.uint16(
                77
            )  # 16 bit in place: 4 ms for 20 frames of 448 px, 16 ms in float32
            total += self.images[..., 1] * np.uint16(150)
            total += self.images[..., 2] * np.uint16(29)
            self._luma.append((total >> 8).astype(np.uint8))
        return self._luma[0]

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        return int(self.pts.nbytes + self.images.nbytes)


@dataclass(frozen=True, slots=True)
class Window:
    """Part of a clip that a captioner describes.

    Attributes:
        index: 0 for the first window of the clip.
        start_frame: first frame, counted from the start of the clip.
        end_frame: one past the last frame.
        start_s: when the first frame begins, in seconds from the start of the clip.
        end_s: when the last frame ends.
        pictures: positions in ``clip.frames`` of the pictures that are shown.
        captions: columns of each caption, once there are some.
    """

    index: int
    start_frame: int
    end_frame: int
    start_s: float = 0.0
    end_s: float = 0.0
    pictures: tuple[int, ...] = ()
    captions: "tuple[Row, ...]" = ()


@pickled_by_position
@dataclass(frozen=True, slots=True)
class Clip:
    """A span of a video with an id; a file only once written.

    Attributes:
        clip_id: hash of video and span, hence the same in every run.
        span: its interval of the video stream, in PTS.
        start_frame: first frame, counted in presentation order from the start of the video.
        end_frame: one past the last frame.
        columns: the other columns of its row in the manifest, by name.
        frames: sampled frames, once a stage has loaded them.
        lasting_marks: left, top, right and bottom, in shares of the picture, of what stands in all scenes of its video
            and in the clip too, once a stage has looked.
        scores: by name; None where it could not be measured.
        picture_scores: by name, one value a picture; a score is made of them when the clip is judged.
        scored_by: names of the filters whose scores it has.
        embeddings: float32 ``[D]``, unit length, by model name.
        windows: the windows for captions, with their captions once there are some.
    """

    clip_id: str
    span: Span
    start_frame: int
    end_frame: int
    columns: Mapping[str, Any] = field(default_factory=lambda: {})
    frames: Frames | None = None
    lasting_marks: tuple[tuple[float, float, float, float], ...] = ()
    scores: Mapping[str, float | None] = field(default_factory=lambda: {})
    picture_scores: Mapping[str, tuple[float, ...]] = field(default_factory=lambda: {})
    scored_by: frozenset[str] = frozenset()
    embeddings: Mapping[str, NDArray[np.float32]] = field(default_factory=lambda: {})
    windows: tuple[Window, ...] = ()

    @property
    def num_frames(self) -> int:
        """Frames of the source inside the span."""
        return self.end_frame - self.start_frame


@pickled_by_position
@dataclass(frozen=True, slots=True)
class Video:
    """A source video and those of its clips that the task processes.

    Attributes:
        video_id: hash of uri and content tag.
        uri: absolute path, or URL with its protocol.
        partition: key of the partition that holds it.
        columns: its row in the manifest, by column name (size_bytes, etag, codec, ...).
        clips: none before split, all of the video's in split, exactly one from filter on.
        error: the decoding error, if only a part of the video could be used.
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
            ValueError: the video has none or several.
        """
        (clip,) = self.clips
        return clip


@dataclass(frozen=True, slots=True)
class Task:
    """A unit of data that flows through a pipeline.

    Attributes:
        task_id: unique within one run of a pipeline; results are reported under it.
        group: equal for all tasks of one batch, so that common data is read once.
    """

    task_id: str
    group: str = ""

    @property
    def nbytes(self) -> int:
        """Bytes that it holds in memory; the queues between stages are bounded by these."""
        return 0


@pickled_by_position
@dataclass(frozen=True, slots=True)
class VideoTask(Task):
    """A task about one video."""

    data: Video = field(kw_only=True)

    @property
    def nbytes(self) -> int:
        """Bytes of its frames."""
        return sum(clip.frames.nbytes for clip in self.data.clips if clip.frames is not None)


@dataclass(frozen=True, slots=True)
class Rejected:
    """The outcome of a task that a rule excludes. A decision, not a failure.

    Attributes:
        reason: a `Reason`, or the name of the filter.
        detail: the measured and the required value.
        columns: known values by column name.
        is_transient: true if the decision may change without a change of parameters or code; the next run decides
            again.
    """

    reason: str
    detail: str = ""
    columns: Mapping[str, Any] = field(default_factory=lambda: {})
    is_transient: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """The outcome of a task that could not be processed.

    Attributes:
        reason: value of the row's column ``reason``; it decides whether the next run tries again.
        error: error class, message, and what to do.
        is_lasting: true if a retry in this run is useless: waiting does not help (a full disk, a removed source), or
            the operation was retried already.
    """

    reason: Reason
    error: str
    is_lasting: bool = False
