"""Parameters of the checks of every table: the severity of a failure, and the thresholds."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from stages.params.base import parameter

Severity = Literal["off", "warn", "error"]
"""Meaning of a failed check: off, not evaluated; a warning; an error, which for some checks stops the run."""


class CheckParams(BaseModel):
    """What is checked of a table after its commit. Enters no key."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    no_row_lost: Severity = parameter(
        "error", "none", "Every item has a row, and every row a fate. As an error it stops what follows in the run."
    )
    table_schema: Severity = parameter(
        "error",
        "none",
        "The table has its columns and types, no key is null or there twice, spans lie inside their video, embeddings "
        "have unit length. As an error it stops what follows in the run.",
    )
    written_clips: Severity = parameter(
        "error",
        "none",
        "dataset: every file that a row names is there with its size, and a sample of clips opens and has its frames. "
        "As an error it stops what follows in the run.",
    )
    failed_share: Severity = parameter("warn", "none", "At most one row or failed_max of the rows failed.")
    score_drift: Severity = parameter(
        "warn", "none", "filtered_clips: scores are distributed as in the partitions before, see drift_max."
    )
    caption_text: Severity = parameter("warn", "none", "captions: none is empty, and none is repeated too often.")
    failed_max: float = parameter(
        0.05,
        "none",
        "failed_share: largest share of failed rows in a partition. One row may fail in any case, unless this is 0. "
        "Lower is stricter.",
        ge=0,
        le=1,
    )
    drift_max: float = parameter(
        0.2,
        "none",
        "score_drift: largest two-sample Kolmogorov-Smirnov statistic of a score, that is the largest difference of "
        "the two cumulative shares. Lower is stricter.",
        ge=0,
        le=1,
    )
    drift_significance: float = parameter(
        0.001,
        "none",
        "score_drift: chance at most that equal sources are told to differ in a partition; videos count as the sample, "
        "so that few of them prove nothing. Higher is stricter.",
        gt=0,
        lt=1,
    )
    drift_partitions: int = parameter(
        10, "none", "score_drift: compared with so many partitions registered before, at most.", ge=1, le=1000
    )
    clips_opened: int = parameter(8, "none", "written_clips: clips of a partition that are opened.", ge=0)
    caption_repeat_max: float = parameter(
        0.5,
        "none",
        "caption_text: largest share of a partition's captions that may have one text. Lower is stricter.",
        gt=0,
        le=1,
    )
    captions_min: int = parameter(10, "none", "caption_text: repetition is judged from so many captions on.", ge=2)
