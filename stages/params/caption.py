"""Parameters of caption."""

from typing import ClassVar, Literal, Self

from pydantic import model_validator

from stages.errors import Reason
from stages.params.base import parameter
from stages.params.model import ModelParams
from stages.params.server import check_base_url

CAPTION_API_KEY_VARIABLE = "CURATOR_CAPTION_API_KEY"
"""Environment variable of the workers that holds the key of the caption server."""


CAPTION_REASONS = tuple(
    str(reason)
    for reason in (
        Reason.CUT_SHORT,
        Reason.WRONG_SCHEMA,
        Reason.REFUSED,
        Reason.CONTROL_CHARACTERS,
        Reason.WRONG_LENGTH,
        Reason.REPETITIVE,
        Reason.WRONG_LANGUAGE,
        Reason.CONTRADICTS_MEASUREMENT,
        Reason.LOW_SIMILARITY,
        Reason.NEAR_DUPLICATE,
    )
)
"""Reasons that a caption can be rejected for."""


class CaptionParams(ModelParams):
    """A text for each window of a clip."""

    phase: ClassVar[str] = "caption"
    asset: ClassVar[str] = "captions"
    code_version: ClassVar[str] = "1"

    captioner: str = parameter(
        "measured",
        "work",
        "'measured' (a plain sentence from measurements), 'transformers' (a vision-language model in the workers), "
        "'vllm' (the same in a server that the workers start), 'openai' (any OpenAI-compatible server), or a class of "
        "your own.",
    )
    prompt: str = parameter(
        "describe",
        "work",
        "What the captioner is asked: the id of a prompt (short, describe, dense, training, or a file ID.md in the "
        "folder that CURATOR_PROMPTS names), or a text of your own. 'measured' reads none.",
    )
    prompts: list[str] = parameter(
        [],
        "work",
        "In place of prompt, several: ids or texts. Each gives rows of its own for each window; the caption of a clip "
        "in the dataset is that of the first.",
        keyed_at_default=False,
    )
    window_s: float = parameter(10.0, "work", "Length of a window, in seconds.", gt=0)
    window_remainder_s: float = parameter(
        5.0, "work", "A rest of at least so many seconds is a window of its own; a shorter one joins the last.", gt=0
    )
    compat: Literal["none", "nemo"] = parameter(
        "none", "work", "'nemo' counts windows in frames, as NeMo Curator does: window_frames, not window_s."
    )
    window_frames: int = parameter(256, "work", "compat=nemo: length of a window in frames of the source.", ge=4)
    window_remainder_frames: int = parameter(
        128,
        "work",
        "compat=nemo: a rest of at least so many frames is a window of its own; a shorter one joins the last.",
        ge=1,
    )
    max_frames: int = parameter(8, "work", "Pictures of a window that the captioner is shown, at most.", ge=1, le=768)
    frames_fps: float | None = parameter(
        None,
        "work",
        "Pictures a second that the captioner is shown, up to max_frames. Where it asks for more than the frame store "
        "has (split.frames_fps), the clip is decoded. Empty for those of the frame store.",
        keyed_at_default=False,
        gt=0,
        le=240,
    )
    frames_max_px: int | None = parameter(
        None,
        "work",
        "Longest side of a picture that the captioner is shown. Where it is above that of the frame store "
        "(split.frames_max_px) and the source is larger too, the clip is decoded. Empty for that of the frame store.",
        keyed_at_default=False,
        ge=16,
        le=8192,
    )
    max_tokens: int = parameter(
        256,
        "work",
        "Tokens of the longest answer. One that is cut is asked for once more with twice as many; where that "
        "is cut too, the window is rejected (cut_short).",
        ge=1,
    )
    temperature: float = parameter(0.0, "work", "0 repeats itself, higher varies.", ge=0, le=2)
    model: str = parameter(
        "",
        "work",
        "transformers, vllm: a folder with a checkpoint, or its name on the hub. openai: the model's name there.",
    )
    revision: str = parameter(
        "main",
        "work",
        "transformers, vllm: revision of a checkpoint from the hub, as embed.revision.",
        keyed_at_default=False,
    )
    base_url: str = parameter(
        "http://127.0.0.1:8000/v1",
        "none",
        "openai: where the server is. The key is read from CURATOR_CAPTION_API_KEY. With a key, a launch from Dagster "
        "may name only hosts in CURATOR_CAPTION_HOSTS, or this machine.",
    )
    requests_in_flight: int = parameter(8, "none", "openai, vllm: requests at once, of all videos.", ge=1, le=1024)
    request_timeout_s: float = parameter(120.0, "none", "openai, vllm: longest wait for one whole answer.", gt=0)
    price_input: float = parameter(0.0, "none", "openai: price of a million input tokens; see column cost.", ge=0)
    price_output: float = parameter(0.0, "none", "openai: price of a million output tokens.", ge=0)
    batch_size: int = parameter(
        8,
        "none",
        "Clips handed to a captioner in process at once, of all videos. transformers: also windows in one call of the "
        "model, at most; where memory runs out, half as many.",
        ge=1,
        le=4096,
    )
    refine_model: str = parameter(
        "",
        "work",
        "Name of a second model on a server, which writes each caption again by refine_prompt, from its words and "
        "without pictures; a row of its own, which names both models and comes before the other. Empty for none.",
        keyed_at_default=False,
    )
    refine_prompt: str = parameter(
        "refine",
        "work",
        "What the second model is asked, an id (refine, enhance) or a text; {caption} and {measured} stand for what it "
        "is given.",
        keyed_at_default=False,
    )
    refine_base_url: str = parameter(
        "", "none", "Where the second model's server is, as base_url and with the same key; empty for base_url."
    )
    refine_price_input: float = parameter(0.0, "none", "Price of a million input tokens of the second model.", ge=0)
    refine_price_output: float = parameter(0.0, "none", "Price of a million output tokens of the second model.", ge=0)
    similarity_model: str = parameter(
        "",
        "work",
        "A checkpoint with a tower for pictures and one for texts (CLIP, SigLIP), as embed.model: each caption is "
        "compared with the pictures of its window (score similarity). Extra transformers; empty for none.",
        keyed_at_default=False,
    )
    min_similarity: float | None = parameter(
        None,
        "decision",
        "Least cosine similarity of caption and pictures, where similarity_model is set. Higher is stricter; empty for "
        "no limit.",
        ge=-1,
        le=1,
    )
    score_only: list[str] = parameter(
        [],
        "decision",
        "Reasons that reject no caption; scores are stored all the same. Among cut_short, wrong_schema, refused, "
        "control_characters, wrong_length, repetitive, wrong_language, contradicts_measurement, low_similarity, "
        "near_duplicate.",
    )
    language: str = parameter(
        "auto",
        "decision",
        "Language of captions, ISO 639-1, such as en; of those that docs/captions.md lists. auto: that of the prompt; "
        "any: none is rejected for its language.",
        pattern="^(auto|any|[a-z]{2})$",
    )
    min_words: int = parameter(3, "decision", "Least words of a caption. Higher is stricter.", ge=0)
    max_words: int = parameter(600, "decision", "Most words of a caption. Lower is stricter.", ge=1)
    max_repetition: float = parameter(
        0.3,
        "decision",
        "Largest share of a caption that may repeat itself: three words in a row, sentences, loops. Lower is stricter.",
        ge=0,
        le=1,
    )
    max_control_characters: int = parameter(
        0, "decision", "Most control characters and marks of chat templates. Lower is stricter.", ge=0
    )
    max_near_duplicates: int | None = parameter(
        20,
        "decision",
        "Most other clips of a partition that may have nearly the same caption, of captioners that read a prompt. "
        "Lower is stricter; empty for no limit.",
        ge=0,
    )

    @model_validator(mode="after")
    def _base_url_is_http(self) -> Self:
        check_base_url(self.base_url)
        if self.refine_base_url:
            check_base_url(self.refine_base_url)
        return self

    @model_validator(mode="after")
    def _words_and_reasons_agree(self) -> Self:
        if self.min_words > self.max_words:
            raise ValueError(f"min_words must be at most max_words, got {self.min_words} > {self.max_words}")
        if self.min_similarity is not None and not self.similarity_model:
            raise ValueError("min_similarity requires similarity_model, a checkpoint such as CLIP, and there is none")
        unknown = sorted(set(self.score_only) - set(CAPTION_REASONS))
        if unknown:
            raise ValueError(f"score_only must be among {', '.join(CAPTION_REASONS)}, got {', '.join(unknown)}")
        return self

    def plugin_names(self) -> list[tuple[str, str]]:
        """The captioner."""
        return [("captioner", self.captioner)]

    def unused_fields(self) -> set[str]:
        """The lengths of the other kind of windows; and what is for servers, where the captioner uses none.

        ``compat`` says which lengths are used, and is in no key beside them. A change of the prompt affects every
        captioner.
        """
        seconds, frames = {"window_s", "window_remainder_s"}, {"window_frames", "window_remainder_frames"}
        unused = {"compat", *(seconds if self.compat == "nemo" else frames)}
        if self.prompts:
            unused.add("prompt")
        if not self.refine_model:
            unused.add("refine_prompt")
        return unused | ({"max_tokens", "temperature", "model", "revision"} if self.captioner == "measured" else set())

    def servers(self) -> list[str]:
        """Addresses that requests may go to, with the key."""
        is_local = self.captioner in ("measured", "transformers", "vllm")
        first = list[str]() if is_local else [self.base_url]
        second = [self.refine_base_url or self.base_url] if self.refine_model else []
        return list(dict.fromkeys([*first, *second]))

    def asked(self) -> list[tuple[str, str]]:
        """The prompts, each with the parameter that gives it."""
        if self.prompts:
            return [(f"caption.prompts.{index}", value) for index, value in enumerate(self.prompts)]
        return [("caption.prompt", self.prompt)]
