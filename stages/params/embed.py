"""Parameters of embed."""

from typing import ClassVar

from stages.params.base import parameter
from stages.params.model import ModelParams


class EmbedParams(ModelParams):
    """One vector a clip."""

    phase: ClassVar[str] = "embed"
    asset: ClassVar[str] = "embeddings"
    code_version: ClassVar[str] = "2"

    embedder: str = parameter(
        "efficientnet-lite0",
        "work",
        "'efficientnet-lite0' (runs anywhere), 'transformers' (see model), or a class of your own.",
    )
    model: str = parameter("", "work", "transformers: a folder with a checkpoint, or its name on the hub.")
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

    def plugin_names(self) -> list[tuple[str, str]]:
        """The embedder."""
        return [("embedder", self.embedder)]

    def unused_fields(self) -> set[str]:
        """The bundled encoder has one checkpoint."""
        return {"model", "revision"} if self.embedder == "efficientnet-lite0" else set()
