"""Parameters of caption."""

from typing import ClassVar, Self

from pydantic import model_validator

from stages.params.base import parameter
from stages.params.model import ModelParams
from stages.params.server import check_base_url

CAPTION_API_KEY_VARIABLE = "CURATOR_CAPTION_API_KEY"
"""Environment variable of the workers that holds the key of the caption server."""


class CaptionParams(ModelParams):
    """A text for each window of a clip."""

    phase: ClassVar[str] = "caption"
    asset: ClassVar[str] = "captions"
    code_version: ClassVar[str] = "1"

    captioner: str = parameter(
        "measured",
        "work",
        "'measured' (a plain sentence from measurements), 'openai' (any OpenAI-compatible server), "
        "or a class of your own.",
    )
    prompt: str = parameter(
        "Describe what happens in this video clip in one or two plain sentences.",
        "work",
        "What the captioner is asked; the embedded captioner 'measured' does not read it.",
    )
    window_frames: int = parameter(256, "work", "Length of a window in frames of the source.", ge=4)
    window_remainder_frames: int = parameter(
        128,
        "work",
        "A remainder of at least so many frames becomes a window; a shorter one joins the last.",
        ge=1,
    )
    max_frames: int = parameter(8, "work", "Pictures of a window that the captioner is shown, at most.", ge=1, le=768)
    max_tokens: int = parameter(
        256,
        "work",
        "openai: tokens of the longest answer. One that is cut is asked for once more with twice as many; where that "
        "is cut too, the window is rejected (cut_short).",
        ge=1,
    )
    temperature: float = parameter(0.0, "work", "openai: 0 repeats itself, higher varies.", ge=0, le=2)
    model: str = parameter("", "work", "openai: the model's name on the server.")
    base_url: str = parameter(
        "http://127.0.0.1:8000/v1",
        "none",
        "openai: where the server is. The key is read from CURATOR_CAPTION_API_KEY. With a key, a launch from Dagster "
        "may name only hosts in CURATOR_CAPTION_HOSTS, or this machine.",
    )
    requests_in_flight: int = parameter(8, "none", "openai: requests at once, of all videos.", ge=1, le=1024)
    request_timeout_s: float = parameter(120.0, "none", "openai: longest wait for one whole answer.", gt=0)
    price_input: float = parameter(0.0, "none", "openai: price of a million input tokens; see column cost.", ge=0)
    price_output: float = parameter(0.0, "none", "openai: price of a million output tokens.", ge=0)
    batch_size: int = parameter(
        8, "none", "Clips handed to a captioner in process at once, of all videos.", ge=1, le=4096
    )

    @model_validator(mode="after")
    def _base_url_is_http(self) -> Self:
        check_base_url(self.base_url)
        return self

    def plugin_names(self) -> list[tuple[str, str]]:
        """The captioner."""
        return [("captioner", self.captioner)]

    def unused_fields(self) -> set[str]:
        """The bundled captioner uses no server. A change of the prompt affects every captioner."""
        return {"max_tokens", "temperature", "model"} if self.captioner == "measured" else set()
