"""Parameters of split."""

from dataclasses import replace
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from stages.params.base import parameter
from stages.params.model import ModelParams
from stages.resources import Resources

USUAL_CROP_S, NEMO_CROP_S = 0.2, 0.5
SPEECH = "speech"
"""The entry of `split.signals` that listens."""
SIGNALS = ("flow", "vectors", SPEECH)


class SplitParams(ModelParams):
    """Decoding a video once, and cutting it into clips."""

    phase: ClassVar[str] = "split"
    asset: ClassVar[str] = "clips"
    code_version: ClassVar[str] = "9"

    method: str = parameter(
        "shots",
        "work",
        "How a video is cut: 'shots' at shot changes, 'fixed_stride' at regular times, "
        "or a class of your own as 'package.module:Class'.",
    )
    detector: str = parameter(
        "transnetv2",
        "work",
        "shots: what finds shot changes: 'transnetv2', or a class of your own as 'package.module:Class'.",
    )
    detector_model: str = parameter("", "work", "shots: the folder or name that a detector of your own loads.")
    clip_length_s: float = parameter(10.0, "work", "fixed_stride: length of a clip.", gt=0)
    stride_s: float | None = parameter(
        None,
        "work",
        "fixed_stride: from the start of a clip to the start of the next; empty for clip_length_s.",
        gt=0,
    )
    min_length_s: float = parameter(2.0, "work", "Shorter clips are not made, but of damage. Higher is stricter.", ge=0)
    max_length_s: float = parameter(10.0, "work", "shots: a longer shot is shortened, see max_length_mode.", gt=0)
    max_length_mode: Literal["stride", "truncate"] = parameter(
        "stride",
        "work",
        "shots: a shot longer than max_length_s becomes several clips (stride) or its beginning (truncate).",
    )
    crop_s: float | None = parameter(
        None,
        "work",
        "shots: left out at each end of a clip that lies at a transition, beside its frames; empty for 0.2, or 0.5 "
        "with compat=nemo.",
        ge=0,
    )
    threshold: float = parameter(
        0.4,
        "work",
        "shots: transition probability above which a frame belongs to a shot change. Lower finds more changes.",
        gt=0,
        lt=1,
    )
    windows: Literal["whole", "published"] = parameter(
        "whole",
        "work",
        "shots: how TransNetV2 sees a video: 'whole' as one window of any length, each frame computed once; "
        "'published' in windows of 100 frames that overlap by half, as its authors do, each computed twice.",
    )
    static_threshold: float = parameter(
        3.0,
        "work",
        "shots: also cut where a still picture is replaced by another (slides, screens), at once or slowly: smallest "
        "mean change of the small frame, in grey levels of 255, where it is still before and after; 0 turns it off.",
        ge=0,
        le=255,
    )
    max_clips: int = parameter(0, "work", "Keep the first so many clips of a video; 0 for all.", ge=0)
    snap_to_keyframes: bool = parameter(
        False,
        "work",
        "Move the ends of each clip inward to keyframes, so that it can be cut without encoding.",
    )
    compat: Literal["none", "nemo"] = parameter(
        "none", "work", "'nemo' repeats NeMo Curator's rules for scenes, lengths and cropping."
    )
    frames_fps: float = parameter(
        2.0, "work", "Pictures a second kept in the frame store for later phases.", gt=0, le=60
    )
    frames_max_px: int = parameter(448, "work", "Longest side of a picture in the frame store.", ge=16, le=4096)
    signals: list[str] = parameter(
        ["flow"],
        "work",
        "Measured during the decode: 'flow' (motion and camera by optical flow, any codec), 'vectors' (the codec's own "
        "motion, which the filter motion_vectors reads), 'speech' (where somebody speaks, for speech_share; extra "
        "'speech').",
    )
    speech_threshold: float = parameter(
        0.5,
        "work",
        "signals=speech: probability from which on a block of 32 ms counts as speech in speech_share. Another one "
        "reads the stored probabilities, and decodes nothing.",
        ge=0,
        le=1,
        keyed_at_default=False,
    )

    section_s: float = parameter(
        120.0,
        "none",
        "A video at least twice as long is decoded in sections of about this length, in seconds, each by a worker and "
        "kept when it is done: of H.264, where seeking in the file can be trusted. The rows are the same. 0 turns it "
        "off.",
        ge=0,
    )
    decoder: Literal["software", "auto", "nvdec"] = parameter(
        "software",
        "none",
        "What decodes videos: 'software' (FFmpeg on CPUs); 'nvdec', the GPU's decoder, for streams that it decodes to "
        "the same pictures, else software with a note in the row; 'auto' the same where split has a GPU. Damage inside "
        "a picture is noticed by the software one alone.",
    )

    @model_validator(mode="after")
    def _lengths_agree(self) -> Self:
        if self.method == "shots" and self.min_length_s > self.max_length_s:
            raise ValueError(
                f"min_length_s must be at most max_length_s, got {self.min_length_s} > {self.max_length_s}"
            )
        if self.method == "shots" and self.compat == "nemo" and self.detector != "transnetv2":
            raise ValueError(f"compat=nemo requires detector=transnetv2, got {self.detector}")
        unknown = set(self.signals) - set(SIGNALS)
        if unknown:
            raise ValueError(f"signals must be among {', '.join(map(repr, SIGNALS))}, got {sorted(unknown)}")
        return self

    def resources(self, cpus: float = 1.0) -> Resources:
        """What a worker of split occupies: with a GPU, its decoder too, where it is asked for."""
        has_gpu = bool(self.gpu_memory_gb or self.gpus)
        decodes = self.decoder == "nvdec" or (self.decoder == "auto" and has_gpu)
        return replace(super().resources(cpus), nvdecs=int(decodes))

    @property
    def cropped_s(self) -> float:
        """What `crop_s` is, or stands for."""
        if self.crop_s is not None:
            return self.crop_s
        return NEMO_CROP_S if self.compat == "nemo" else USUAL_CROP_S

    def plugin_names(self) -> list[tuple[str, str]]:
        """The splitter, and its detector."""
        return [("splitter", self.method), *([("detector", self.detector)] if self.method == "shots" else [])]

    def unused_fields(self) -> set[str]:
        """Fields of the other method; ``compat=nemo`` does not search for still pictures either."""
        unheard: set[str] = set() if SPEECH in self.signals else {"speech_threshold"}
        lengths = {"max_length_s", "max_length_mode", "crop_s"}
        shots_only = {"detector", "detector_model", "threshold", "windows", "compat", *lengths}
        if self.method == "fixed_stride":
            return {*shots_only, *unheard, "static_threshold", "dtype", "args"}
        if self.method == "shots":
            return {"clip_length_s", "stride_s", *unheard, *self._unused_by_detector()}
        return unheard

    def _unused_by_detector(self) -> set[str]:
        """A detector of a user's own may read any."""
        if self.detector != "transnetv2":
            return set()
        return {"detector_model", *(["static_threshold", "windows"] if self.compat == "nemo" else [])}
