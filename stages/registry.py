"""The one table of dotted names: which class serves a phase, a splitter, a filter, an embedder, a captioner.

A name with a colon ("my_package.filters:TextOverlay") is a user's own class and needs no entry here.
"""

import importlib
from typing import Any

from stages.errors import ParamsError

TABLE: dict[tuple[str, str], str] = {
    ("phase", "read"): "stages.read.phase:ReadPhase",
    ("phase", "split"): "stages.split.phase:SplitPhase",
    ("phase", "filter"): "stages.filter.phase:FilterPhase",
    ("phase", "embed"): "stages.embed.phase:EmbedPhase",
    ("phase", "caption"): "stages.caption.phase:CaptionPhase",
    ("phase", "dedup"): "stages.dedup.phase:DedupPhase",
    ("phase", "write"): "stages.write.phase:WritePhase",
    ("executor", "local"): "stages.executors.local:LocalExecutor",
    ("executor", "streaming"): "stages.executors.ray:RayExecutor",
    ("executor", "batch"): "stages.executors.ray:RayExecutor",
    ("media", "probe"): "stages.media.probe:probe",
    ("media", "clip_writer"): "stages.write.clips:ClipWriter",
    ("media", "clip_verifier"): "stages.write.verify:count_frames",
    ("media", "frame_loader"): "stages.media.frame_loader:FrameLoader",
    ("splitter", "fixed_stride"): "stages.split.fixed_stride:FixedStrideSplitter",
    ("splitter", "shots"): "stages.split.shots:ShotSplitter",
    ("media", "one_pass"): "stages.split.one_pass:OnePass",
    ("detector", "none"): "stages.models.transnetv2:padded_detectors",
    ("detector", "nemo"): "stages.models.transnetv2:nemo_detectors",
    ("filter", "size"): "stages.filter.columns:SizeFilter",
    ("filter", "duration"): "stages.filter.columns:DurationFilter",
    ("filter", "motion"): "stages.filter.columns:MotionFilter",
    ("filter", "motion_vectors"): "stages.filter.columns:MotionVectorFilter",
    ("filter", "black"): "stages.filter.pictures:BlackFilter",
    ("filter", "frozen"): "stages.filter.pictures:FrozenFilter",
    ("filter", "letterbox"): "stages.filter.pictures:LetterboxFilter",
    ("filter", "sharpness"): "stages.filter.pictures:SharpnessFilter",
    ("filter", "exposure"): "stages.filter.pictures:ExposureFilter",
    ("network", "efficientnet-lite0"): "stages.models.efficientnet_network:load",
    ("network", "transformers"): "stages.models.transformers_network:load",
    ("embedder", "efficientnet-lite0"): "stages.models.efficientnet:EfficientNetLite0Embedder",
    ("embedder", "transformers"): "stages.models.transformers_encoder:TransformersEmbedder",
    ("captioner", "measured"): "stages.models.measured_captioner:MeasuredCaptioner",
    ("captioner", "openai"): "stages.models.openai_captioner:OpenAICaptioner",
    ("gallery", "exhibits"): "stages.pictures.exhibits:compose",
    ("deduper", "neighbors"): "stages.dedup.neighbors:decide",
    ("deduper", "cluster"): "stages.dedup.cluster:decide",
}


def names(kind: str) -> list[str]:
    """The registered names of a kind, in the table's order."""
    return [name for table_kind, name in TABLE if table_kind == kind]


def resolve(kind: str, name: str) -> str:
    """The dotted name behind a registered name; a name with a colon is returned as it is.

    Raises:
        ParamsError: no such name.
    """
    if ":" in name:
        return name
    try:
        return TABLE[kind, name]
    except KeyError:
        raise ParamsError(
            f"{kind} must be one of {names(kind)} or a class of your own as 'package.module:Class', got {name!r}."
        ) from None


def load(kind: str, name: str) -> Any:
    """Import and return the class behind a name.

    Raises:
        ParamsError: no such name, or its module or class cannot be imported.
    """
    module_name, _, attribute = resolve(kind, name).partition(":")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise ParamsError(
            f"{kind} {name!r} requires {module_name}:{attribute}, which cannot be imported: {error}. "
            "Install the extra that it belongs to, or correct the name."
        ) from error
