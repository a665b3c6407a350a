"""A quota: at most so many clips of one kind, such as of a source video, a camera motion or a cluster of embeddings."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Self, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

QUOTA_BY_CLUSTER = "cluster"
"""Clips by k-means of their embeddings, in place of a column."""


class Quota(BaseModel):
    """An entry of ``dedup.quotas``.

    Attributes:
        by: a column of `filtered_clips`, a score, ``duration_s``, or ``cluster``.
        max: most clips of each value.
        max_share: the same, as a share of the clips that are no copies and no duplicates; at least one clip.
        edges: of a column of numbers: bounds of its classes, rising; a number belongs to the class that it begins.
        clusters: by ``cluster``: how many.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    by: str = Field(min_length=1)
    max: int | None = Field(default=None, ge=1)
    max_share: float | None = Field(default=None, gt=0, le=1)
    edges: tuple[float, ...] = ()
    clusters: int = Field(default=64, ge=1)

    @field_validator("max", "max_share", "clusters", "edges", mode="before")
    @classmethod
    def _is_no_flag(cls, value: object) -> object:
        """Python counts ``true`` as 1, and "max: true" would keep one clip of each kind."""
        values = cast(Sequence[object], value) if isinstance(value, Sequence) else [value]
        if any(isinstance(each, bool) for each in values):
            raise ValueError("must be a number, not true or false")
        return cast(object, value)

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if (self.max is None) == (self.max_share is None):
            raise ValueError("a quota must have either max or max_share")
        if any(low >= high for low, high in pairwise(self.edges)):
            raise ValueError(f"edges must rise, got {list(self.edges)}")
        if self.by == QUOTA_BY_CLUSTER and self.edges:
            raise ValueError("a quota by cluster has no edges")
        if self.by != QUOTA_BY_CLUSTER and "clusters" in self.model_fields_set:
            raise ValueError("only a quota by cluster has clusters")
        return self

    def most(self, num_clips: int) -> int:
        """Most clips of one value, where `num_clips` are no copies and no duplicates."""
        return self.max if self.max is not None else max(1, int((self.max_share or 0) * num_clips + 1e-9))


def parse_quotas(entries: list[dict[str, Any]]) -> list[Quota]:
    """The quotas of ``dedup.quotas``.

    Raises:
        ValueError: an entry is wrong, or two are by the same column.
    """
    quotas: list[Quota] = []
    for number, entry in enumerate(entries):
        try:
            quotas.append(Quota.model_validate(entry))
        except ValidationError as error:
            found = "; ".join(
                f"{'.'.join(map(str, each['loc']))} {each['msg'].removeprefix('Value error, ')}".strip()
                for each in error.errors(include_url=False)
            )
            raise ValueError(
                f"quotas[{number}] must be as {{by: camera_motion, max: 500}}, got {entry}: {found}"
            ) from error
    names = [quota.by for quota in quotas]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"quotas must each be by another column, got {', '.join(repeated)} more than once")
    return quotas
