"""Parameters of embed."""

from typing import ClassVar

from stages.params.base import Params, parameter


class EmbedParams(Params):
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
    batch_size: int = parameter(16, "none", "Clips of one video handed to the model at once.", ge=1, le=4096)
    gpu_memory_gb: float = parameter(0.0, "none", "GPU memory that one worker takes; 0 computes on the CPU.", ge=0)

    def plugin_names(self) -> list[tuple[str, str]]:
        """The embedder."""
        return [("embedder", self.embedder)]

    def unused_fields(self) -> set[str]:
        """The bundled encoder has one checkpoint."""
        return {"model", "revision"} if self.embedder == "efficientnet-lite0" else set()
