"""Filters whose scores are columns of the clip's row: facts of its source, and what split measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from stages.filter.base import Filter, Limit, Scores
from stages.params import CAMERA_MOTIONS, SPEECH
from stages.tasks import Clip


@dataclass(frozen=True)
class DamageFilter(Filter):
    """Share of the clip's frames, and of its sound, that are damaged or missing. Lower thresholds are stricter."""

    damaged_max: float
    sound_damaged_max: float

    name = "damage"
    columns = ("damaged_share", "sound_damaged_share")
    limits = (Limit("damage", "damaged_max", "max"), Limit("damage_sound", "sound_damaged_max", "max"))

    def score(self, clip: Clip) -> dict[str, float | None]:
        """Two scores: ``damage``, and ``damage_sound``, which is None without sound."""
        return {"damage": clip.columns["damaged_share"], "damage_sound": clip.columns["sound_damaged_share"]}


@dataclass(frozen=True)
class SpeechFilter(Filter):
    """Share of the clip's time in which somebody speaks."""

    speech_min: float
    speech_max: float

    name = "speech"
    columns = ("speech_share", "audio_codec")
    limits = (Limit("speech", "speech_min", "min"), Limit("speech", "speech_max", "max"))
    needs_signals = (SPEECH,)

    def score(self, clip: Clip) -> float | None:
        """``speech_share``; 0 where the source has no sound, None where its sound does not decode."""
        share = clip.columns["speech_share"]
        return 0.0 if share is None and clip.columns["audio_codec"] is None else share


@dataclass(frozen=True)
class SizeFilter(Filter):
    """Width and height as displayed, in pixels. Higher thresholds are stricter."""

    width_min_px: float
    height_min_px: float

    name = "size"
    columns = ("width", "height")
    limits = (Limit("size_width_px", "width_min_px", "min"), Limit("size_height_px", "height_min_px", "min"))

    def score(self, clip: Clip) -> Scores:
        """Two scores: ``size_width_px``, ``size_height_px``."""
        return {"size_width_px": clip.columns["width"], "size_height_px": clip.columns["height"]}


@dataclass(frozen=True)
class DurationFilter(Filter):
    """Duration of the span, in seconds."""

    duration_min_s: float
    duration_max_s: float

    name = "duration"
    columns = ("start_pts", "end_pts", "time_base")
    limits = (Limit("duration", "duration_min_s", "min"), Limit("duration", "duration_max_s", "max"))

    def score(self, clip: Clip) -> float:
        """Seconds from ``start_pts`` to ``end_pts``."""
        return clip.span.duration_s


@dataclass(frozen=True)
class MotionFilter(Filter):
    """Mean motion of the picture, in diagonals a second; measured for any codec."""

    motion_min: float
    motion_max: float

    name = "motion"
    columns = ("flow_mean",)
    limits = (Limit("motion", "motion_min", "min"), Limit("motion", "motion_max", "max"))

    def score(self, clip: Clip) -> float | None:
        """``flow_mean`` of the clip; None where split did not measure it."""
        return clip.columns["flow_mean"]


@dataclass(frozen=True)
class CameraFilter(Filter):
    """What the camera does, and how fast."""

    camera_rejected: list[str]
    camera_speed_max: float

    name = "camera"
    columns = ("camera_motion", "camera_speed")
    judges_by = ("camera_rejected",)
    limits = (Limit("camera_speed", "camera_speed_max", "max"),)

    def score(self, clip: Clip) -> Scores:
        """Two scores: ``camera_motion``, the number of the motion in `CAMERA_MOTIONS`, and ``camera_speed``."""
        motion = clip.columns["camera_motion"]
        number = None if motion is None else float(CAMERA_MOTIONS.index(motion))
        return {"camera_motion": number, "camera_speed": clip.columns["camera_speed"]}

    def violation(self, scores: Mapping[str, float | None]) -> str | None:
        """The message of a motion that is rejected, else that of a limit."""
        number = scores.get("camera_motion")
        motion = None if number is None else CAMERA_MOTIONS[int(number)]
        if motion in self.camera_rejected:
            return f"camera_motion must not be among {self.camera_rejected} (filter.camera_rejected), got {motion}."
        return super().violation(scores)


@dataclass(frozen=True)
class SharpnessFilter(Filter):
    """Widths of a strong edge in the shorter side of the picture. Higher is stricter."""

    sharpness_min: float

    name = "sharpness"
    columns = ("sharpness",)
    limits = (Limit("sharpness", "sharpness_min", "min"),)

    def score(self, clip: Clip) -> float | None:
        """``sharpness`` of the clip; None where none of its frames was sampled."""
        return clip.columns["sharpness"]


@dataclass(frozen=True)
class MotionVectorFilter(Filter):
    """Mean length of the codec's motion vectors, over height plus width; higher thresholds are stricter.

    FFmpeg exports no motion vectors for VP9, AV1 and HEVC: clips of these codecs have no score and pass.
    """

    motion_vectors_mean_min: float
    motion_vectors_patch_min: float

    name = "motion_vectors"
    columns = ("vectors_mean", "vectors_patch_min")
    limits = (
        Limit("motion_vectors_mean", "motion_vectors_mean_min", "min"),
        Limit("motion_vectors_patch", "motion_vectors_patch_min", "min"),
    )
    needs_signals = ("vectors",)

    def score(self, clip: Clip) -> Scores:
        """Two scores: ``motion_vectors_mean``, and ``motion_vectors_patch`` of the stillest patch."""
        return {
            "motion_vectors_mean": clip.columns["vectors_mean"],
            "motion_vectors_patch": clip.columns["vectors_patch_min"],
        }


@dataclass(frozen=True)
class InterlacedFilter(Filter):
    """Share of frames whose two fields show two moments. Lower is stricter."""

    interlaced_max: float

    name = "interlaced"
    columns = ("interlaced_share",)
    limits = (Limit("interlaced", "interlaced_max", "max"),)

    def score(self, clip: Clip) -> float | None:
        """``interlaced_share`` of the clip; None where no frame was measured."""
        return clip.columns["interlaced_share"]


@dataclass(frozen=True)
class FormatFilter(Filter):
    """Frame rate, bit depth and dynamic range of the source."""

    rate_min: float
    rate_max: float
    bit_depth_min: float
    hdr_max: float

    name = "format"
    columns = ("average_rate", "bit_depth", "is_hdr")
    limits = (
        Limit("format_rate", "rate_min", "min"),
        Limit("format_rate", "rate_max", "max"),
        Limit("format_bit_depth", "bit_depth_min", "min"),
        Limit("format_hdr", "hdr_max", "max"),
    )

    def score(self, clip: Clip) -> Scores:
        """Frames a second, bits of luma, and 1 for HDR, 0 for SDR; None for what the header does not tell."""
        columns = clip.columns
        rate, is_hdr = columns["average_rate"], columns["is_hdr"]
        return {
            "format_rate": float(Fraction(rate)) if rate else None,
            "format_bit_depth": columns["bit_depth"],
            "format_hdr": None if is_hdr is None else float(is_hdr),
        }
