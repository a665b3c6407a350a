"""Which checks an asset has, what each is called, and which of them stop a run.

A check that blocks and fails as an error ends its step after every partition of the run is materialized, so that none
turns red that is made; what follows is skipped, for all partitions of the run. A backfill of what follows then goes on
with the good ones: a check holds up only the run that takes it, so the bad ones are to be left out of that. What its
result says mends a bad one; materialized again it is checked again.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import dagster as dg

from curator_dagster.checks.caption_text import caption_text
from curator_dagster.checks.fates import failed_share, no_row_lost
from curator_dagster.checks.score_drift import score_drift
from curator_dagster.checks.table_schema import table_schema
from curator_dagster.checks.verdict import Subject, Verdict
from curator_dagster.checks.written_clips import written_clips
from stages.params import CheckParams, Severity
from stages.schemas import ASSETS


@dataclass(frozen=True)
class Check:
    """One check, which is called like its parameter.

    Attributes:
        judge: what it finds in one partition.
        assets: that have it.
        about: what holds where it passes.
        is_blocking: failed as an error, it keeps what follows in the run from being made of a broken table. Only
            where a table is not what it says; sources that are poor or other than before are for a person to judge.
        reads_store: the report of the phase is not enough for it.
    """

    judge: Callable[[Subject], Verdict]
    assets: tuple[str, ...]
    about: str
    is_blocking: bool
    reads_store: bool = True

    @property
    def name(self) -> str:
        """Also of its parameter."""
        return self.judge.__name__

    def severity(self, params: CheckParams) -> Severity:
        """What a failure means: nothing where it is off, a warning, or an error."""
        return getattr(params, self.name)


CHECKS = (
    Check(
        no_row_lost,
        tuple(ASSETS),
        "Every row that came in came out: kept, rejected with a reason, or failed.",
        is_blocking=True,
        reads_store=False,
    ),
    Check(
        table_schema,
        tuple(ASSETS),
        "The committed table has its columns and types; keys are there and once; spans, vectors and paths are valid.",
        is_blocking=True,
    ),
    Check(
        failed_share,
        tuple(ASSETS),
        "At most checks.failed_max of the rows failed.",
        is_blocking=False,
        reads_store=False,
    ),
    Check(
        score_drift,
        ("filtered_clips",),
        "Scores are distributed as in the partitions registered before: two-sample Kolmogorov-Smirnov statistic.",
        is_blocking=False,
    ),
    Check(
        caption_text,
        ("captions",),
        "No caption is empty, and no text stands in more than checks.caption_repeat_max of them.",
        is_blocking=False,
    ),
    Check(
        written_clips,
        ("dataset",),
        "Every file that a row names is there with its size; a sample of clips opens and has its frames.",
        is_blocking=True,
    ),
)


def checks_of(asset: str, params: CheckParams) -> list[Check]:
    """The checks of an asset that are not turned off."""
    return [check for check in CHECKS if asset in check.assets and check.severity(params) != "off"]


def check_specs(asset: str, spec: dg.AssetSpec, params: CheckParams) -> list[dg.AssetCheckSpec]:
    """How the checks of an asset stand in the graph, with its partitions.

    Args:
        asset: its table.
        spec: how it stands in the graph itself.
        params: which of them are turned off.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)  # partitions_def of a check
        return [
            dg.AssetCheckSpec(
                check.name,
                asset=spec.key,
                description=check.about,
                blocking=check.is_blocking,
                partitions_def=spec.partitions_def,
            )
            for check in checks_of(asset, params)
        ]
