"""The table of plug-ins: the classes of splitters, detectors, filters, embedders and captioners, by name.

A name with a colon ("my_package.filters:TextOverlay") is a user's own class and needs no entry here.
"""

import inspect
from typing import Any

from stages import lazy
from stages.errors import ParamsError, did_you_mean

TABLE: dict[tuple[str, str], str] = {
    ("splitter", "fixed_stride"): "stages.split.fixed_stride:FixedStrideSplitter",
    ("splitter", "shots"): "stages.split.shots:ShotSplitter",
    ("detector", "transnetv2"): "stages.split.transnetv2_detector:TransNetV2Detector",
    ("filter", "damage"): "stages.filter.column_filters:DamageFilter",
    ("filter", "size"): "stages.filter.column_filters:SizeFilter",
    ("filter", "duration"): "stages.filter.column_filters:DurationFilter",
    ("filter", "motion"): "stages.filter.column_filters:MotionFilter",
    ("filter", "camera"): "stages.filter.column_filters:CameraFilter",
    ("filter", "motion_vectors"): "stages.filter.column_filters:MotionVectorFilter",
    ("filter", "interlaced"): "stages.filter.column_filters:InterlacedFilter",
    ("filter", "speech"): "stages.filter.column_filters:SpeechFilter",
    ("filter", "format"): "stages.filter.column_filters:FormatFilter",
    ("filter", "black"): "stages.filter.frame_filters:BlackFilter",
    ("filter", "frozen"): "stages.filter.frame_filters:FrozenFilter",
    ("filter", "letterbox"): "stages.filter.frame_filters:LetterboxFilter",
    ("filter", "sharpness"): "stages.filter.column_filters:SharpnessFilter",
    ("filter", "exposure"): "stages.filter.frame_filters:ExposureFilter",
    ("filter", "text"): "stages.filter.text_filter:TextFilter",
    ("filter", "nsfw"): "stages.filter.model_filters:NsfwFilter",
    ("filter", "quality"): "stages.filter.model_filters:QualityFilter",
    ("filter", "aesthetic"): "stages.filter.model_filters:AestheticFilter",
    ("filter", "ask"): "stages.filter.question_filter:QuestionFilter",
    ("embedder", "efficientnet-lite0"): "stages.models.efficientnet:EfficientNetLite0Embedder",
    ("embedder", "transformers"): "stages.models.transformers_embedder:TransformersEmbedder",
    ("embedder", "cosmos-embed1"): "stages.models.published_embedders:CosmosEmbed1Embedder",
    ("embedder", "internvideo2"): "stages.models.published_embedders:InternVideo2Embedder",
    ("embedder", "openai"): "stages.models.openai_embedder:OpenAIEmbedder",
    ("captioner", "measured"): "stages.models.measured_captioner:MeasuredCaptioner",
    ("captioner", "transformers"): "stages.models.transformers_captioner:TransformersCaptioner",
    ("captioner", "vllm"): "stages.models.vllm_captioner:VllmCaptioner",
    ("captioner", "openai"): "stages.models.openai_captioner:OpenAICaptioner",
}


_METHODS: dict[str, tuple[str, ...]] = {
    "splitter": ("identity", "setup", "begin", "push", "pieces", "boundaries"),
    "detector": ("identity", "setup", "begin", "push", "transitions"),
    "filter": ("identity", "setup", "score", "thresholds", "violation"),
    "embedder": ("identity", "setup", "embed"),
    "captioner": ("identity", "setup", "caption"),
}
"""Methods by which a class is known to be of a kind; those of `Splitter`, `TransitionDetector`, `Filter`, `Embedder`
and `Captioner`."""


def names(kind: str) -> list[str]:
    """The registered names of a kind, in the table's order."""
    return [name for table_kind, name in TABLE if table_kind == kind]


def resolve(kind: str, name: str) -> str:
    """The dotted name of a registered name; a name with a colon is returned unchanged.

    Raises:
        ParamsError: no such name.
    """
    if ":" in name:
        return name
    try:
        return TABLE[kind, name]
    except KeyError:
        raise ParamsError(
            f"{kind} must be one of {', '.join(names(kind))}, or a class of your own as package.module:Class, "
            f"got {name!r}.{did_you_mean(name, names(kind))}"
        ) from None


def load(kind: str, name: str) -> Any:
    """Import and return the class with this name.

    Raises:
        ParamsError: no such name, its module or class cannot be imported, or it is no class of this kind. Nothing of
            it was called.
    """
    loaded = lazy.load(resolve(kind, name), wanted_by=f"{kind} {name!r}")
    is_class = inspect.isclass(loaded)
    missing = [each for each in _METHODS[kind] if is_class and not callable(getattr(loaded, each, None))]
    if not is_class or missing:
        found = f"a class without {', '.join(missing)}" if is_class else f"no class but a {type(loaded).__name__}"
        raise ParamsError(
            f"{kind} must be a class with the methods {', '.join(_METHODS[kind])}, and {name!r} is {found}. "
            f"Derive your own from the base class of a {kind}."
        )
    return loaded
