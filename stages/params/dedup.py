"""Parameters of dedup."""

from typing import Any, ClassVar, Literal, Self

from pydantic import field_validator, model_validator

from stages.params.base import parameter
from stages.params.model import GpuParams
from stages.params.quotas import parse_quotas
from stages.table_names import MULTIPLE, further_table


class DedupParams(GpuParams):
    """Finding copies and near-duplicates over all partitions, choosing which stays, and quotas."""

    phase: ClassVar[str] = "dedup"
    asset: ClassVar[str] = "unique_clips"
    code_version: ClassVar[str] = "8"

    copies: bool = parameter(
        True,
        "work",
        "Find copies by pictures aligned in time, before clips are compared by embeddings; these take no part then.",
    )
    copy_overlap: float = parameter(
        0.5,
        "work",
        "Clips are copies if they have at least this share of the shorter one in common. Lower removes more.",
        gt=0,
        le=1,
    )
    mode: Literal["neighbors", "cluster"] = parameter(
        "neighbors",
        "work",
        "'neighbors' compares with every clip; 'cluster' only inside k-means clusters, as NeMo Curator does.",
    )
    eps: float = parameter(
        0.07,
        "work",
        "Clips whose cosine similarity is at least 1 - eps are near-duplicates. Higher removes more.",
        ge=0,
        le=2,
    )
    keep: Literal["quality", "farthest", "nearest", "random", "rank"] = parameter(
        "quality",
        "work",
        "Which of a group stays: the least damaged, then of the highest true resolution, the least noisy, with the "
        "most bytes for a pixel, the highest bit depth, the oldest; farthest from or nearest to the group's mean; by "
        "seed and id, or by rank_by.",
    )
    rank_by: list[str] = parameter(
        [],
        "work",
        "keep=rank: columns or scores in order of weight, each 'name' (highest first) or '-name' (lowest first).",
    )
    seed: int = parameter(42, "work", "For keep=random and k-means.", ge=0)
    num_clusters: int = parameter(8, "work", "cluster: clusters, at most one a clip.", ge=1)
    quotas: list[dict[str, Any]] = parameter(
        [],
        "work",
        "At most so many clips of a kind: {by: camera_motion, max: 500}, {by: cluster, clusters: 64, max_share: 0.05}, "
        "{by: duration_s, edges: [3, 6], max: 1000} for classes of numbers. by: a column of filtered_clips, a score, "
        "'duration_s' or 'cluster'. What is over is rejected; copies and duplicates are not decided anew.",
    )
    embedder: str = parameter(
        "",
        "work",
        "Name of the embedder of embed.more whose vectors are compared, and clustered for quotas; '' for the first.",
        keyed_at_default=False,
    )
    rebuild: bool = parameter(
        False,
        "none",
        "Decide all clips anew instead of letting earlier decisions stand. It enters no key, and yet changes rows: "
        "those of the run that it is given to.",
    )

    dtype: Literal["auto", "float32"] = parameter(
        "auto",
        "none",
        "Precision of products of vectors on a device: float32, whole, whatever is said; half precision would miss "
        "clips that decide.",
    )

    @model_validator(mode="after")
    def _rank_has_columns(self) -> Self:
        if self.keep == "rank" and not self.rank_by:
            raise ValueError("keep='rank' requires rank_by to name at least one column")
        return self

    @model_validator(mode="after")
    def _quotas_are_right(self) -> Self:
        parse_quotas(self.quotas)
        return self

    @field_validator("embedder")
    @classmethod
    def _embedder_is_a_name(cls, name: str) -> str:
        if name:
            further_table(name)
        return name

    def table_read(self, asset: str) -> str:
        """Of embeddings, that of the embedder that is named."""
        return further_table(self.embedder) if asset == MULTIPLE and self.embedder else asset

    def unused_fields(self) -> set[str]:
        """Fields of another mode or another rule, and quotas where there are none."""
        reads = {
            "seed": self.keep == "random" or self.mode == "cluster",
            "num_clusters": self.mode == "cluster",
            "copy_overlap": self.copies,
            "rank_by": self.keep == "rank",
            "quotas": bool(self.quotas),
        }
        return {name for name, is_read in reads.items() if not is_read}
