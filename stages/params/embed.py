"""Parameters of embed."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import ValidationError, field_validator, model_validator

from stages.params.base import parameter
from stages.params.messages import describe_errors
from stages.params.model import ModelParams
from stages.params.server import check_base_url
from stages.table_names import further_table

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
        "'efficientnet-lite0' (runs anywhere), 'transformers' (see model), 'cosmos-embed1' and 'internvideo2' (by the "
        "code of a checkpoint that the deployment trusts), 'openai' (any OpenAI-compatible server of embeddings), or "
        "a class of your own.",
    )
    model: str = parameter(
        "",
        "work",
        "transformers, cosmos-embed1, internvideo2: a folder with a checkpoint, or its name on the hub. openai: the "
        "model's name on the server.",
    )
    revision: str = parameter(
        "main",
        "work",
        "Revision of a checkpoint from the hub. A branch or tag stands for the commit that the local "
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
    more: list[dict[str, Any]] = parameter(
        [],
        "none",
        "Further embedders, each with a table of its own: {name: siglip, embedder: transformers, model: FOLDER}, and "
        "any other parameter of embed but retry_reasons; what an entry leaves out has its default, not the first "
        "one's value. dedup.embedder and `curator search --embedder` take the name.",
    )

    @model_validator(mode="after")
    def _more_is_right(self) -> Self:
        self.further()
        return self

    @model_validator(mode="after")
    def _base_url_is_http(self) -> Self:
        check_base_url(self.base_url)
        return self

    def further(self) -> Sequence["FurtherEmbedParams"]:
        """Those of each entry of `more`, in their order.

        Raises:
            ValueError: an entry is wrong, or two have one name.
        """
        # A share of failures and reasons to retry are of the whole phase, unless an entry says otherwise.
        shared = {"max_failed_fraction": self.max_failed_fraction, "retry_reasons": self.retry_reasons}
        found = [_further_params(number, entry, shared) for number, entry in enumerate(self.more)]
        names = [each.name for each in found]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"more must have each name once, got {', '.join(repeated)} more than once")
        return found

    def plugin_names(self) -> list[tuple[str, str]]:
        """The embedder."""
        return [("embedder", self.embedder)]

    def unused_fields(self) -> set[str]:
        """The bundled encoder has one checkpoint, and a server no revision that could be told."""
        of_window = {"frames_per_clip"}  # the checkpoint says how many
        return {
            "efficientnet-lite0": {"model", "revision"},
            "openai": {"revision", "dtype"},
            "cosmos-embed1": of_window,
            "internvideo2": of_window,
        }.get(self.embedder, set())

    @property
    def reads_checkpoint(self) -> bool:
        """True where `model` is a folder, or a name on the hub."""
        return self.embedder in ("transformers", "cosmos-embed1", "internvideo2")


class FurtherEmbedParams(EmbedParams):
    """An entry of ``embed.more``: one more vector a clip, in a table of its own."""

    name: str = parameter(..., "none", "Of the embedder; its table is embeddings.NAME.")

    @field_validator("name")
    @classmethod
    def _name_is_right(cls, name: str) -> str:
        further_table(name)
        return name

    @property
    def table(self) -> str:
        """``embeddings.NAME``."""
        return further_table(self.name)


_NOT_OF_ENTRIES = ("more", "retry_reasons")


def _further_params(number: int, entry: Mapping[str, Any], shared: Mapping[str, Any]) -> FurtherEmbedParams:
    place = f"more[{entry.get('name', number)}]"
    if wrong := [name for name in _NOT_OF_ENTRIES if name in entry]:
        raise ValueError(f"{place} must not have {' and '.join(wrong)}, which only embed itself has")
    try:
        return FurtherEmbedParams.model_validate({**shared, **entry})
    except ValidationError as error:
        own = [f"{place}.{name}" for name in FurtherEmbedParams.model_fields if name not in _NOT_OF_ENTRIES]
        raise ValueError(describe_errors(error, place, own).rstrip(".")) from error
