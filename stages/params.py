"""Every parameter of every phase, declared once: default, bounds, meaning, and what a change of it undoes.

Each field says what it affects. `work`: it enters `row_key`, so a change computes the rows anew. `decision`: it
enters `decision_key` alone, so a change decides again from stored scores. `none`: it enters no key, so rows that are
there stay as they are; `dedup.rebuild` alone asks the phase not to use them. `Params.unread` names the fields that the
chosen method does not read: while it is chosen they enter no key either.
"""

from typing import Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from stages.check_params import CheckParams
from stages.errors import TRANSIENT_REASONS, ParamsError
from stages.knobs import Effect, Params, check_reasons, explain, knob, rule_of
from stages.retry import Backoff

__all__ = [
    "GROUPS",
    "PHASES",
    "CaptionParams",
    "CheckParams",
    "DedupParams",
    "Effect",
    "EmbedParams",
    "ExecutorParams",
    "FilterParams",
    "Params",
    "ReadParams",
    "SplitParams",
    "WriteParams",
    "rule_of",
    "validate",
    "validate_all",
]

_ENDINGS = "mp4 m4v mov avi mkv webm mpg mpeg ogv ts mts m2ts wmv flv 3gp vob mxf"
VIDEO_PATTERNS = [f"*.{ending}" for ending in _ENDINGS.split()]


class ReadParams(Params):
    """Listing and probing source videos."""

    phase: ClassVar[str] = "read"
    asset: ClassVar[str] = "videos"
    code_version: ClassVar[str] = "1"

    include: list[str] = knob(
        VIDEO_PATTERNS,
        "none",
        "Globs that a source's name or path below the folder must match, without regard to case.",
    )
    exclude: list[str] = knob([], "none", "Globs of sources to leave out, by name or path below the folder.")
    limit: int = knob(0, "none", "List at most so many sources; 0 for all.", ge=0)
    partition_by: Literal["count", "bytes", "prefix"] = knob(
        "count",
        "none",
        "What new sources form a partition together: so many that follow one another (count), as many as partition_gb "
        "holds (bytes), or those of one folder (prefix).",
    )
    partition_size: int = knob(
        64, "none", "New sources of one partition, at most; whatever partition_by.", ge=1, le=100_000
    )
    partition_gb: float = knob(
        20.0, "none", "bytes: size of a partition's videos, at most, in 10^9 bytes; a larger video stands alone.", gt=0
    )
    prefix_depth: int = knob(
        1, "none", "prefix: so many folders below the listed one, from the top, tell partitions apart.", ge=1, le=100
    )


class SplitParams(Params):
    """Decoding a video once, and cutting it into clips."""

    phase: ClassVar[str] = "split"
    asset: ClassVar[str] = "clips"
    code_version: ClassVar[str] = "1"

    method: str = knob(
        "shots",
        "work",
        "How a video is cut: 'shots' at shot changes, 'fixed_stride' at regular times, "
        "or a class of your own as 'package.module:Class'.",
    )
    clip_length_s: float = knob(10.0, "work", "fixed_stride: length of a clip.", gt=0)
    stride_s: float | None = knob(
        None,
        "work",
        "fixed_stride: from the start of a clip to the start of the next; empty for clip_length_s.",
        gt=0,
    )
    min_length_s: float = knob(2.0, "work", "Shorter clips are not made. Higher is stricter.", ge=0)
    max_length_s: float = knob(10.0, "work", "shots: a longer shot is shortened, see max_length_mode.", gt=0)
    max_length_mode: Literal["stride", "truncate"] = knob(
        "stride",
        "work",
        "shots: a shot longer than max_length_s becomes several clips (stride) or its beginning (truncate).",
    )
    crop_s: float = knob(0.5, "work", "shots: left out at each end of a clip that lies at a shot change.", ge=0)
    threshold: float = knob(
        0.4,
        "work",
        "shots: transition probability above which a frame belongs to a shot change. Lower finds more changes.",
        gt=0,
        lt=1,
    )
    static_threshold: float = knob(
        3.0,
        "work",
        "shots: also cut where a still picture is replaced by another (slides, screens): smallest mean change "
        "of the small frame, in grey levels of 255, while the second before and after stands still; 0 turns it off.",
        ge=0,
        le=255,
    )
    max_clips: int = knob(0, "work", "Keep the first so many clips of a video; 0 for all.", ge=0)
    snap_to_keyframes: bool = knob(
        False,
        "work",
        "Move the ends of each clip inward to keyframes, so that it can be cut without encoding.",
    )
    compat: Literal["none", "nemo"] = knob(
        "none", "work", "'nemo' repeats NeMo Curator's rules for scenes, lengths and cropping."
    )
    frames_fps: float = knob(2.0, "work", "Pictures a second kept in the frame store for later phases.", gt=0, le=60)
    frames_max_px: int = knob(448, "work", "Longest side of a picture in the frame store.", ge=16, le=4096)
    signals: list[str] = knob(
        ["flow", "vectors"],
        "work",
        "Motion measured during the decode: 'flow' (optical flow, any codec), 'vectors' (the codec's own).",
    )

    @model_validator(mode="after")
    def _lengths_agree(self) -> Self:
        if self.method == "shots" and self.min_length_s > self.max_length_s:
            raise ValueError(
                f"min_length_s must be at most max_length_s, got {self.min_length_s} > {self.max_length_s}"
            )
        unknown = set(self.signals) - {"flow", "vectors"}
        if unknown:
            raise ValueError(f"signals must be among 'flow' and 'vectors', got {sorted(unknown)}")
        return self

    def unread(self) -> set[str]:
        """What only the other method reads; with ``compat=nemo`` still pictures are not looked for either."""
        if self.method == "fixed_stride":
            return {"max_length_s", "max_length_mode", "crop_s", "threshold", "static_threshold", "compat"}
        if self.method == "shots":
            return {"clip_length_s", "stride_s", *(["static_threshold"] if self.compat == "nemo" else [])}
        return set()


class FilterParams(Params):
    """Scoring clips and deciding which to keep."""

    phase: ClassVar[str] = "filter"
    asset: ClassVar[str] = "filtered_clips"
    code_version: ClassVar[str] = "1"

    filters: list[str] = knob(
        ["size", "duration", "motion", "black", "frozen", "letterbox", "sharpness", "exposure"],
        "work",
        "Filters that score each clip, in this order; the first that a clip fails is its reason. Also "
        "'motion_vectors', or classes of your own as 'package.module:Class'. Of a clip with more than 256 pictures "
        "in the frame store they see 256, spread evenly.",
    )
    custom: list[dict[str, Any]] = knob(
        [],
        "work",
        "Arguments of your own filters: {'filter': 'package.module:Class', ...}, passed to its constructor.",
    )
    score_only: list[str] = knob([], "decision", "Filters that score but never reject; 'all' for every one.")
    width_min_px: int = knob(64, "decision", "size: least displayed width.", ge=1)
    height_min_px: int = knob(64, "decision", "size: least displayed height.", ge=1)
    duration_min_s: float = knob(0.0, "decision", "duration: shortest clip.", ge=0)
    duration_max_s: float = knob(86_400.0, "decision", "duration: longest clip.", gt=0)
    motion_min: float = knob(
        0.0005,
        "decision",
        "motion: least mean optical flow, in picture diagonals a second. Higher is stricter.",
        ge=0,
    )
    motion_max: float = knob(100.0, "decision", "motion: most mean optical flow, in picture diagonals a second.", gt=0)
    motion_vectors_mean_min: float = knob(
        0.00098,
        "decision",
        "motion_vectors: least mean length of the codec's vectors, as a share of height plus width. Clips whose codec "
        "hands out none are not judged.",
        ge=0,
    )
    motion_vectors_patch_min: float = knob(
        0.000001,
        "decision",
        "motion_vectors: least mean length in the stillest patch of 256 pixels.",
        ge=0,
    )
    black_max: float = knob(0.5, "decision", "black: largest share of black pictures. Lower is stricter.", ge=0, le=1)
    frozen_max: float = knob(
        0.9,
        "decision",
        "frozen: largest share of pictures equal to the one before (noise apart). Lower is stricter.",
        ge=0,
        le=1,
    )
    letterbox_max: float = knob(
        0.35, "decision", "letterbox: largest share of the picture taken by black bars. Lower is stricter.", ge=0, le=1
    )
    sharpness_min: float = knob(
        5.0,
        "decision",
        "sharpness: least variance of the Laplacian of the sharper half of the pictures. Higher is stricter.",
        ge=0,
    )
    exposure_max: float = knob(
        0.9,
        "decision",
        "exposure: largest share of pixels, bars left out, crushed to black or blown to white. Lower is stricter.",
        ge=0,
        le=1,
    )

    @model_validator(mode="after")
    def _bounds_agree(self) -> Self:
        for low, high in (("duration_min_s", "duration_max_s"), ("motion_min", "motion_max")):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"{low} must be at most {high}, got {getattr(self, low)} > {getattr(self, high)}")
        return self


class EmbedParams(Params):
    """One vector a clip."""

    phase: ClassVar[str] = "embed"
    asset: ClassVar[str] = "embeddings"
    code_version: ClassVar[str] = "1"

    embedder: str = knob(
        "efficientnet-lite0",
        "work",
        "'efficientnet-lite0' (runs anywhere), 'transformers' (see model), or a class of your own.",
    )
    model: str = knob("", "work", "transformers: a folder with a checkpoint, or its name on the hub.")
    revision: str = knob(
        "main",
        "work",
        "transformers: revision of a checkpoint from the hub. A branch or tag stands for the commit that the local "
        "cache has for it; 40 hex digits are a commit.",
    )
    frames_per_clip: int = knob(8, "work", "Pictures taken, spread evenly over the whole clip.", ge=1, le=256)
    batch_size: int = knob(16, "none", "Clips of one video handed to the model at once.", ge=1, le=4096)
    gpu_memory_gb: float = knob(0.0, "none", "GPU memory that one worker takes; 0 computes on the CPU.", ge=0)

    def unread(self) -> set[str]:
        """The embedded encoder is one checkpoint."""
        return {"model", "revision"} if self.embedder == "efficientnet-lite0" else set()


class CaptionParams(Params):
    """A text for each window of a clip."""

    phase: ClassVar[str] = "caption"
    asset: ClassVar[str] = "captions"
    code_version: ClassVar[str] = "1"

    captioner: str = knob(
        "measured",
        "work",
        "'measured' (a plain sentence from measurements), 'openai' (any OpenAI-compatible server), "
        "or a class of your own.",
    )
    prompt: str = knob(
        "Describe what happens in this video clip in one or two plain sentences.",
        "work",
        "What the captioner is asked; the embedded captioner 'measured' does not read it.",
    )
    window_frames: int = knob(256, "work", "Length of a window in frames of the source.", ge=4)
    window_remainder_frames: int = knob(
        128,
        "work",
        "A remainder of at least so many frames becomes a window; a shorter one joins the last.",
        ge=1,
    )
    max_frames: int = knob(8, "work", "Pictures of a window that the captioner is shown, at most.", ge=1, le=768)
    max_tokens: int = knob(256, "work", "openai: longest answer.", ge=1)
    temperature: float = knob(0.0, "work", "openai: 0 repeats itself, higher varies.", ge=0, le=2)
    model: str = knob("", "work", "openai: the model's name on the server.")
    base_url: str = knob(
        "http://127.0.0.1:8000/v1",
        "none",
        "openai: where the server is. The key is read from CURATOR_CAPTION_API_KEY.",
    )
    requests_in_flight: int = knob(8, "none", "openai: requests at once per worker.", ge=1, le=1024)
    request_timeout_s: float = knob(120.0, "none", "openai: longest wait for one whole answer.", gt=0)
    batch_size: int = knob(8, "none", "Clips of one video handed to the captioner at once.", ge=1, le=4096)

    def unread(self) -> set[str]:
        """The embedded captioner has no server. Another prompt asks every captioner anew."""
        return {"max_tokens", "temperature", "model"} if self.captioner == "measured" else set()


class DedupParams(Params):
    """Finding near-duplicates over all partitions, and choosing which stays."""

    phase: ClassVar[str] = "dedup"
    asset: ClassVar[str] = "unique_clips"
    code_version: ClassVar[str] = "1"

    mode: Literal["neighbors", "cluster"] = knob(
        "neighbors",
        "work",
        "'neighbors' compares with every clip; 'cluster' only inside k-means clusters, as NeMo Curator does.",
    )
    eps: float = knob(
        0.07,
        "work",
        "Clips whose cosine similarity is at least 1 - eps are near-duplicates. Higher removes more.",
        ge=0,
        le=2,
    )
    keep: Literal["farthest", "nearest", "random", "rank"] = knob(
        "farthest",
        "work",
        "Which of a group stays: farthest from or nearest to the group's mean, by seed and id, or by rank_by.",
    )
    rank_by: list[str] = knob(
        [],
        "work",
        "keep=rank: columns or scores in order of weight, each 'name' (highest first) or '-name' (lowest first).",
    )
    seed: int = knob(42, "work", "For keep=random and k-means.", ge=0)
    num_clusters: int = knob(8, "work", "cluster: clusters, at most one a clip.", ge=1)
    rebuild: bool = knob(
        False,
        "none",
        "Decide all clips anew instead of letting earlier decisions stand. It enters no key, and yet changes rows: "
        "those of the run that it is given to.",
    )

    @model_validator(mode="after")
    def _rank_has_columns(self) -> Self:
        if self.keep == "rank" and not self.rank_by:
            raise ValueError("keep='rank' requires rank_by to name at least one column")
        return self

    def unread(self) -> set[str]:
        """What only another mode or another rule reads."""
        reads = {
            "seed": self.keep == "random" or self.mode == "cluster",
            "num_clusters": self.mode == "cluster",
            "rank_by": self.keep == "rank",
        }
        return {name for name, is_read in reads.items() if not is_read}


MAX_H264_QUALITY = 51
"""Above it H.264 has no quantizer; VP9 and AV1 go to 63."""


class WriteParams(Params):
    """Cutting the surviving clips and writing the dataset."""

    phase: ClassVar[str] = "write"
    asset: ClassVar[str] = "dataset"
    code_version: ClassVar[str] = "1"

    mode: Literal["auto", "copy", "encode"] = knob(
        "auto",
        "work",
        "'copy' only without encoding (else rejected), 'encode' always, 'auto' copies where the span allows it.",
    )
    encoder: Literal["h264", "vp9", "av1", "h264_nvenc"] = knob(
        "h264", "work", "What clips are encoded with where they are not copied."
    )
    quality: int = knob(20, "work", "Constant rate factor of the encoder. Lower is better and larger.", ge=0, le=63)
    require_caption: bool = knob(
        False, "decision", "Reject a clip without a caption instead of writing it with an empty one."
    )
    preview_fps: float = knob(1.0, "work", "Pictures a second of the WebP preview; 0 for none.", ge=0, le=60)
    preview_height_px: int = knob(240, "work", "Height of the preview.", ge=16, le=2160)

    @model_validator(mode="after")
    def _quality_fits_the_encoder(self) -> Self:
        if self.encoder.startswith("h264") and self.quality > MAX_H264_QUALITY:
            raise ValueError(
                f"quality must be at most {MAX_H264_QUALITY} with encoder={self.encoder!r}, got {self.quality}"
            )
        return self


class ExecutorParams(BaseModel):
    """Where and with how much the work is done. Enters no key."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    address: str = knob(
        "local",
        "none",
        "'local' starts a private Ray for the run; 'auto', host:port or ray://host:port joins a cluster and leaves it "
        "running; 'connected' takes the Ray that this process has joined already.",
    )
    mode: Literal["streaming", "batch", "local"] = knob(
        "streaming",
        "none",
        "All stages at once, one after another, or in this process without Ray (for debugging).",
    )
    num_workers: int = knob(0, "none", "Most workers at once; 0 for one a CPU.", ge=0)
    stall_timeout_s: float = knob(120.0, "none", "A worker that makes no progress for so long is ended.", gt=0)
    worker_memory_gb: float = knob(8.0, "none", "A worker with more private memory than this is ended.", gt=0)
    max_item_deaths: int = knob(3, "none", "A task that has ended so many workers is failed.", ge=1, le=100)
    max_tries: int = knob(
        6,
        "none",
        "How often a task is tried in one run while it fails for a transient reason, and an operation on the root "
        "while its store does not answer; 1 for no second try. What no wait mends (a full disk, a source that was "
        "removed) is left to the next run at once.",
        ge=1,
        le=100,
    )
    backoff_s: float = knob(
        1.0, "none", "Wait before the second try; twice as long before each further one.", ge=0, le=3600
    )
    max_backoff_s: float = knob(30.0, "none", "Longest wait between two tries.", ge=0, le=3600)
    transient: list[str] = knob(
        [str(reason) for reason in TRANSIENT_REASONS],
        "none",
        "Reasons of failed rows that may pass: tried again in the run, see max_tries, and by every later run. Rows "
        "that failed for another reason are reused until `curator retry` or retry_reasons asks for them.",
    )
    queue_memory_gb: float = knob(1.0, "none", "Most bytes that wait between stages, over all queues.", gt=0)

    @model_validator(mode="after")
    def _reasons_are_known(self) -> Self:
        check_reasons("transient", self.transient)
        return self

    @property
    def backoff(self) -> Backoff:
        """Tries and waits as one value."""
        return Backoff(self.max_tries, self.backoff_s, self.max_backoff_s)


PHASES: dict[str, type[Params]] = {
    params.phase: params
    for params in (
        ReadParams,
        SplitParams,
        FilterParams,
        EmbedParams,
        CaptionParams,
        DedupParams,
        WriteParams,
    )
}
"""Parameters by phase, in the order of the phases."""

GROUPS: dict[str, type[BaseModel]] = {**PHASES, "executor": ExecutorParams, "checks": CheckParams}
"""Everything that can stand before the dot in ``split.threshold``."""

M = TypeVar("M", bound=BaseModel)


def validate(model: type[M], group: str, values: dict[str, Any]) -> M:
    """Build parameters from values.

    Raises:
        ParamsError: names each wrong field with its value and the rule it broke.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ParamsError(explain(error, group, list(model.model_fields))) from error


def validate_all(config: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Build the parameters of every group from ``{group: {field: value}}``; what is not named has its default.

    Raises:
        ParamsError: names every wrong group and field of all groups at once.
    """
    problems = [f"{group} must be one of {list(GROUPS)}, got {group!r}." for group in config if group not in GROUPS]
    built: dict[str, Any] = {}
    for group, model in GROUPS.items():
        try:
            built[group] = validate(model, group, config.get(group) or {})
        except ParamsError as error:
            problems.append(str(error))
    if problems:
        raise ParamsError("\n".join(problems))
    return built
