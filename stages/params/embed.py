"""Parameters of embed."""

from typing import ClassVar, Self

from pydantic import model_validator

from stages.params.base import parameter
from stages.params.model import ModelParams
from stages.params.server import check_base_url

EMBED_API_KEY_VARIABLE = "CURATOR_EMBED_API_KEY"
"""Environment variable of the workers that holds the key of the embedding server."""


class EmbedParams(ModelParams):
    """One vector a clip."""

    phase: ClassVar[str] = "embed"
    asset: ClassVar[str] = "embeddings"
    code_version: ClassVar[str] = "2"

    embedder: str = parameter(
        "efficientnet-lite0",
        "work",
        "'efficientnet-lite0' (runs anywhere), 'transformers' (see model), 'openai' (any OpenAI-compatible server of "
        "embeddings), or a class of your own.",
    )
    model: str = parameter(
        "",
        "work",
        "transformers: a folder with a checkpoint, or its name on the hub. openai: the model's name on the server.",
    )
    revision: str = parameter(
        "main",
        "work",
        "transformers: revision of a checkpoint from the hub. A branch or tag stands for the commit that the local "
        "cache has for it; 40 hex digits are a commit.",
    )
    frames_per_clip: int = parameter(8, "work", "Pictures taken, spread evenly over the whole clip.", ge=1, le=256)
    batch_size: int = parameter(
        0,
        "none",
        "Pictures (of a video encoder: windows) in one call of the model, at most, of whichever clips and videos. 0: 8 "
        "on a CPU; on a GPU as many as its memory takes, found by doubling.",
        ge=0,
        le=4096,
    )

    base_url: str = parameter(
        "http://127.0.0.1:8000/v1",
        "none",
        "openai: where the server is. The key is read from CURATOR_EMBED_API_KEY. With a key, a launch from Dagster "
        "may name only hosts in CURATOR_EMBED_HOSTS, or this machine.",
    )
    requests_in_flight: int = parameter(8, "none", "openai: requests at once, of all videos.", ge=1, le=1024)
    request_timeout_s: float = parameter(120.0, "none", "openai: longest wait for one whole answer.", gt=0)

    @model_validator(mode="after")
    def _base_url_is_http(self) -> Self:
        check_base_url(self.base_url)
        return self

    def plugin_names(self) -> list[tuple[str, str]]:
        """The embedder."""
        return [("embedder", self.embedder)]

    def unused_fields(self) -> set[str]:
        """The bundled encoder has one checkpoint, and a server no revision that could be told."""
        return {"efficientnet-lite0": {"model", "revision"}, "openai": {"revision", "dtype"}}.get(self.embedder, set())
