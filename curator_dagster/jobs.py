"""The job that curates: all seven assets in one process, for one partition or a range of them."""

import dagster as dg

from curator_dagster.assets import ASSETS

curate = dg.define_asset_job(
    "curate",
    selection=dg.AssetSelection.assets(*ASSETS),
    # The work is in Ray. A process per step would cost 4 s each, and 10 s more for a Ray of its own.
    executor_def=dg.in_process_executor,
    description="From source videos to a dataset: all phases, for the partitions of the run.",
)
