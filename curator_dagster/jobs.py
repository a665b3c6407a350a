"""The job that curates: all seven assets in one process, for one partition or a range of them."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from curator_dagster.curation import Curation


def curation_job(curation: Curation, assets: Sequence[dg.AssetsDefinition]) -> Any:
    """From source videos to a dataset. Dagster has no public name for the class of what this is."""
    return dg.define_asset_job(
        curation.job_name,
        selection=dg.AssetSelection.assets(*assets),
        # The work is in Ray. A process per step would cost 4 s each, and 10 s more for a Ray of its own.
        executor_def=dg.in_process_executor,
        description="From source videos to a dataset: all phases, for the partitions of the run.",
    )
