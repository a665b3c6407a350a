"""The registry of checks: the checks of each asset, and which of them are blocking.

A blocking check that fails as an error fails its step, but only after every partition of the run is materialized.
Downstream assets are then skipped for all partitions of the run. A check blocks only the run that evaluates it: a
backfill of the downstream assets materializes the good partitions, so leave the bad ones out of it. The description of
the result says how to repair a bad partition; materializing it again evaluates the check again.
"""

from collections.abc import Callable
from dataclasses import dataclass

from curator_dagster.checks.caption_text import caption_text
from curator_dagster.checks.check_result import CheckResult
from curator_dagster.checks.checked_table import CheckedTable
from curator_dagster.checks.row_counts import failed_share, no_row_lost
from curator_dagster.checks.score_drift import score_drift
from curator_dagster.checks.table_schema import table_schema
from curator_dagster.checks.written_clips import written_clips
from stages.params import CheckParams, Severity
from stages.schemas import ASSETS


@dataclass(frozen=True)
class Check:
    """One check. Its name is that of its parameter in `CheckParams`.

    Attributes:
        evaluate: checks one partition.
        assets: that have the check.
        description: what holds where it passes.
        is_blocking: a failure with severity error skips the downstream assets of the run. Set only where a table is
            invalid; poor or changed sources are for a person to judge.
        reads_storage: False where the report of the phase is enough.
    """

    evaluate: Callable[[CheckedTable], CheckResult]
    assets: tuple[str, ...]
    description: str
    is_blocking: bool
    reads_storage: bool = True

    @property
    def name(self) -> str:
        """Name of the check, and of its parameter."""
        return self.evaluate.__name__

    def severity(self, params: CheckParams) -> Severity:
        """What a failure counts as: warn or error; off where the check is not made."""
        return getattr(params, self.name)


CHECKS = (
    Check(
        no_row_lost,
        tuple(ASSETS),
        "Every row that came in came out: kept, rejected with a reason, or failed.",
        is_blocking=True,
        reads_storage=False,
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
        "At most one row failed, or checks.failed_max of the rows if that is more.",
        is_blocking=False,
        reads_storage=False,
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
