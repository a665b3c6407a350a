"""Parameters of filter."""

import re
from typing import Any, ClassVar, Self

from pydantic import model_validator

from stages.params.base import parameter
from stages.params.caption import CaptionParams
from stages.params.model import GpuParams
from stages.params.server import check_base_url
from stages.resources import Dtype

CAMERA_MOTIONS = ("static", "pan", "tilt", "zoom", "roll", "shake", "mixed")
"""The values of ``camera_motion``; the score of that name is a value's number here. To be extended at the end only."""
_QUESTION_NAME = re.compile("[a-z0-9_]+")

MODEL_FILTERS = ("text", "nsfw", "quality", "aesthetic", "ask")
"""Filters with models; what they are set to counts only where they are named."""


class FilterParams(GpuParams):
    """Scoring clips and deciding which to keep."""

    phase: ClassVar[str] = "filter"
    asset: ClassVar[str] = "filtered_clips"
    code_version: ClassVar[str] = "2"

    filters: list[str] = parameter(
        ["damage", "size", "duration", "motion", "camera", "black", "frozen", "letterbox", "sharpness", "exposure"],
        "decision",
        "Filters that score each clip, in this order; the first that a clip fails is its reason. A filter that is new "
        "scores all clips, those that were there before keep their scores. Also "
        "'motion_vectors', 'speech', 'interlaced', 'format', those with models 'text', 'nsfw', 'quality', 'aesthetic' "
        "(docs/filters.md), or classes of your own as 'package.module:Class'. Of a clip with "
        "more than 256 pictures in the frame store they see 256, spread evenly.",
    )
    custom: list[dict[str, Any]] = parameter(
        [],
        "decision",
        "Arguments of your own filters: {'filter': 'package.module:Class', ...}, passed to its constructor. Where one "
        "that is no threshold of a limit changes, the filter scores again.",
    )
    reduce: list[str] = parameter(
        [],
        "decision",
        "How the scores of a clip's pictures become one, as 'exposure=p90': mean, min, max, median, or p0 to p100, a "
        "percentile. The others keep their filter's own. Of motion and sharpness too, from the stored signals.",
    )
    score_only: list[str] = parameter([], "decision", "Filters that score but never reject; 'all' for every one.")
    damaged_max: float = parameter(
        0.005,
        "decision",
        "damage: largest share of damaged or missing frames. Lower is stricter; 1 admits everything.",
        ge=0,
        le=1,
    )
    sound_damaged_max: float = parameter(
        0.1,
        "decision",
        "damage: largest share of the sound that is damaged or missing. Lower is stricter; 1 admits everything.",
        ge=0,
        le=1,
    )
    width_min_px: int = parameter(64, "decision", "size: least displayed width.", ge=1)
    height_min_px: int = parameter(64, "decision", "size: least displayed height.", ge=1)
    duration_min_s: float = parameter(0.0, "decision", "duration: shortest clip.", ge=0)
    duration_max_s: float = parameter(86_400.0, "decision", "duration: longest clip.", gt=0)
    motion_min: float = parameter(
        0.0015,
        "decision",
        "motion: least mean motion of the picture, in diagonals a second. Higher is stricter.",
        ge=0,
    )
    motion_max: float = parameter(
        100.0, "decision", "motion: most mean motion of the picture, in diagonals a second. Lower is stricter.", gt=0
    )
    camera_rejected: list[str] = parameter(
        [],
        "decision",
        f"camera: motions of the camera that are rejected, of {', '.join(CAMERA_MOTIONS)}.",
    )
    camera_speed_max: float = parameter(
        100.0, "decision", "camera: most speed of the camera, in picture diagonals a second. Lower is stricter.", gt=0
    )
    speech_min: float = parameter(
        0.0,
        "decision",
        "speech: least share of the clip's time in which somebody speaks; a clip without sound has 0. Higher is "
        "stricter.",
        ge=0,
        le=1,
        keyed_at_default=False,
    )
    speech_max: float = parameter(
        1.0,
        "decision",
        "speech: largest share of the clip's time in which somebody speaks. Lower is stricter.",
        ge=0,
        le=1,
        keyed_at_default=False,
    )
    motion_vectors_mean_min: float = parameter(
        0.00098,
        "decision",
        "motion_vectors: least mean length of the codec's vectors, as a share of height plus width. Clips whose codec "
        "hands out none are not judged.",
        ge=0,
    )
    motion_vectors_patch_min: float = parameter(
        0.000001,
        "decision",
        "motion_vectors: least mean length in the stillest patch of 256 pixels.",
        ge=0,
    )
    black_max: float = parameter(
        0.5, "decision", "black: largest share of black pictures. Lower is stricter.", ge=0, le=1
    )
    frozen_max: float = parameter(
        0.9,
        "decision",
        "frozen: largest share of pictures equal to the one before (noise apart). Lower is stricter.",
        ge=0,
        le=1,
    )
    letterbox_max: float = parameter(
        0.35, "decision", "letterbox: largest share of the picture taken by black bars. Lower is stricter.", ge=0, le=1
    )
    sharpness_min: float = parameter(
        45.0,
        "decision",
        "sharpness: least number of widths of a strong edge in the shorter side of the picture, of the sharper frames. "
        "Higher is stricter.",
        ge=0,
    )
    exposure_max: float = parameter(
        0.9,
        "decision",
        "exposure: largest share of pixels, bars left out, crushed to black or blown to white. Lower is stricter.",
        ge=0,
        le=1,
    )
    interlaced_max: float = parameter(
        0.25,
        "decision",
        "interlaced: largest share of frames whose fields show two moments. Lower is stricter.",
        ge=0,
        le=1,
    )
    rate_min: float = parameter(0.0, "decision", "format: fewest frames a second of the source.", ge=0)
    rate_max: float = parameter(1000.0, "decision", "format: most frames a second of the source.", gt=0)
    bit_depth_min: int = parameter(8, "decision", "format: fewest bits of the source's luma.", ge=1, le=16)
    hdr_max: int = parameter(1, "decision", "format: 0 rejects HDR (PQ and HLG), 1 admits it.", ge=0, le=1)
    text_max: float = parameter(
        0.02,
        "decision",
        "text: largest share of the picture that burned-in text covers, mean of the pictures. Lower is stricter; 1 "
        "admits everything.",
        ge=0,
        le=1,
    )
    text_card_max: float = parameter(
        0.5,
        "decision",
        "text: largest share of the picture's detail that lies in text, of all pictures looked at: near 1 for a title "
        "card. Lower is stricter; 1 admits everything.",
        ge=0,
        le=1,
    )
    text_clean_min: float = parameter(
        1.0,
        "decision",
        "text: text_max rejects no clip whose largest rectangle without text and bars has at least this share of the "
        "picture. As write.crop_min, where write.crop=clean cuts it out; 1 for none.",
        ge=0,
        le=1,
    )
    text_pictures: int = parameter(
        2, "decision", "text: pictures of a clip in which text is looked for, spread evenly.", ge=1, le=64
    )
    nsfw_max: float = parameter(
        1.0,
        "decision",
        "nsfw: largest probability that a picture is pornographic, of all pictures looked at. Lower is stricter; 1 "
        "admits everything. Of Open NSFW, below 0.2 is safe and above 0.8 is not, by its authors.",
        ge=0,
        le=1,
    )
    nsfw_model: str = parameter(
        "",
        "decision",
        "nsfw: image classifier of transformers, as safetensors: a folder, or a name on the hub. Empty for Yahoo's "
        "Open NSFW.",
    )
    nsfw_labels: list[str] = parameter(
        ["nsfw"], "decision", "nsfw: classes of nsfw_model whose probabilities are added up. Open NSFW has the one."
    )
    nsfw_pictures: int = parameter(
        4, "decision", "nsfw: pictures of a clip that are classified, spread evenly.", ge=1, le=64
    )
    quality_brisque_max: float = parameter(
        1000.0,
        "decision",
        "quality: largest BRISQUE, median of the pictures: about 0 for undistorted, 100 for badly distorted. Lower is "
        "stricter.",
    )
    quality_pictures: int = parameter(
        4, "decision", "quality: pictures of a clip that are measured, spread evenly.", ge=1, le=64
    )
    aesthetic_min: float = parameter(
        -1000.0,
        "decision",
        "aesthetic: least score of the head, on its own scale (LAION's: about 1 to 10), mean of the pictures. Higher "
        "is stricter.",
    )
    aesthetic_head: str = parameter(
        "",
        "decision",
        "aesthetic: file of a linear head over vectors of unit length (weight and bias), .safetensors, .npz or .pth of "
        "tensors alone.",
    )
    aesthetic_embedder: str = parameter(
        "transformers", "decision", "aesthetic: what makes the vectors, as embed.embedder."
    )
    aesthetic_model: str = parameter(
        "",
        "decision",
        "aesthetic: its model, as embed.model: for LAION's heads CLIP ViT-L/14 (openai/clip-vit-large-patch14).",
    )
    aesthetic_revision: str = parameter("main", "decision", "aesthetic: its revision, as embed.revision.")
    aesthetic_pictures: int = parameter(
        4, "decision", "aesthetic: pictures of a clip that are encoded, spread evenly.", ge=1, le=64
    )
    nsfw_revision: str = parameter(
        "main", "decision", "nsfw: revision of nsfw_model on the hub, as embed.revision.", keyed_at_default=False
    )
    dtype: Dtype = parameter(
        "auto",
        "decision",
        "nsfw with nsfw_model, aesthetic: precision that their networks compute in, as embed.dtype; scores in another "
        "one are measured anew. Open NSFW, text and quality know float32 alone.",
        keyed_at_default=False,
    )
    batch_size: int = parameter(
        0,
        "none",
        "nsfw, aesthetic: pictures in one call of a network, at most, of whichever clips; 0 as embed.batch_size.",
        ge=0,
        le=4096,
    )

    ask_questions: dict[str, str] = parameter(
        {},
        "decision",
        "ask: questions to a vision-language model that yes or no answers, by name, as {watermark: 'Does a logo lie "
        "over the picture?'}. The score ask_NAME is the probability of yes. A question that is new is asked of all "
        "clips, the others keep their answers.",
    )
    ask_min: dict[str, float] = parameter(
        {}, "decision", "ask: least probability of yes, by the question's name. Higher is stricter."
    )
    ask_max: dict[str, float] = parameter(
        {}, "decision", "ask: largest probability of yes, by the question's name. Lower is stricter."
    )
    ask_captioner: str = parameter(
        "openai", "decision", "ask: what answers, as caption.captioner: 'transformers', 'vllm', 'openai'."
    )
    ask_model: str = parameter("", "decision", "ask: its model, as caption.model.")
    ask_revision: str = parameter("main", "decision", "ask: its revision, as caption.revision.")
    ask_pictures: int = parameter(
        8, "decision", "ask: pictures of a clip that it is shown, spread evenly.", ge=1, le=256
    )
    ask_batch_size: int = parameter(8, "none", "ask: as caption.batch_size.", ge=1, le=4096)
    ask_base_url: str = parameter(
        "http://127.0.0.1:8000/v1",
        "none",
        "ask: as caption.base_url, with the same key and the same hosts that may get it.",
    )
    ask_requests_in_flight: int = parameter(8, "none", "ask: as caption.requests_in_flight.", ge=1, le=1024)
    ask_request_timeout_s: float = parameter(120.0, "none", "ask: as caption.request_timeout_s.", gt=0)

    def asker_params(self) -> CaptionParams:
        """Parameters of the captioner that is asked questions."""
        return CaptionParams(
            captioner=self.ask_captioner,
            model=self.ask_model,
            revision=self.ask_revision,
            base_url=self.ask_base_url,
            requests_in_flight=self.ask_requests_in_flight,
            request_timeout_s=self.ask_request_timeout_s,
            batch_size=self.ask_batch_size,
            gpu_memory_gb=self.gpu_memory_gb,
            gpus=self.gpus,
        )

    def unused_fields(self) -> set[str]:
        """Those of filters with models that `filters` does not name."""
        kinds = [kind for kind in MODEL_FILTERS if kind not in self.filters]
        named = {name for name in type(self).model_fields for kind in kinds if name.startswith(f"{kind}_")}
        return {name for name in named if self.effect_of(name) != "none"}

    def plugin_names(self) -> list[tuple[str, str]]:
        """The filters, the classes that `custom` has arguments for, and the models of the aesthetic filter and ask."""
        named = [*self.filters, *(str(entry.get("filter")) for entry in self.custom)]
        embedder = [("embedder", self.aesthetic_embedder)] if "aesthetic" in self.filters else []
        asked = [("captioner", self.ask_captioner)] if "ask" in self.filters else []
        return [*(("filter", name) for name in dict.fromkeys(named)), *embedder, *asked]

    @model_validator(mode="after")
    def _bounds_agree(self) -> Self:
        for low, high in (
            ("duration_min_s", "duration_max_s"),
            ("motion_min", "motion_max"),
            ("speech_min", "speech_max"),
            ("rate_min", "rate_max"),
        ):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"{low} must be at most {high}, got {getattr(self, low)} > {getattr(self, high)}")
        if unknown := sorted(set(self.camera_rejected) - set(CAMERA_MOTIONS)):
            raise ValueError(f"camera_rejected must be among {', '.join(CAMERA_MOTIONS)}, got {', '.join(unknown)}")
        if "aesthetic" in self.filters and not self.aesthetic_head:
            raise ValueError("aesthetic_head must name a file where filters hold 'aesthetic', got ''")
        if "aesthetic" in self.filters and self.aesthetic_embedder == "transformers" and not self.aesthetic_model:
            raise ValueError("aesthetic_model must name an image encoder for aesthetic_embedder='transformers', got ''")
        return self

    @model_validator(mode="after")
    def _questions_are_named(self) -> Self:
        check_base_url(self.ask_base_url)
        if wrong := [name for name in self.ask_questions if not _QUESTION_NAME.fullmatch(name)]:
            raise ValueError(f"ask_questions must have names of small letters, digits and _, got {wrong[0]!r}")
        for side in ("ask_min", "ask_max"):
            limits: dict[str, float] = getattr(self, side)
            if unknown := sorted(set(limits) - set(self.ask_questions)):
                raise ValueError(f"{side} must name questions of ask_questions, got {', '.join(unknown)}")
            if wrong := [name for name, limit in limits.items() if not 0 <= limit <= 1]:
                raise ValueError(f"{side}.{wrong[0]} must be a probability, 0 to 1, got {limits[wrong[0]]}")
        if "ask" in self.filters and not (self.ask_questions and self.ask_model):
            raise ValueError("ask_questions and ask_model must be set where filters hold 'ask'")
        return self
