"""The jobs: `curate` all phases, `find_videos` only registers partitions, `rewrite_dataset` only writes."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from curator_dagster.curation import Curation
from curator_dagster.invented_partitions import remove_partitions
from curator_dagster.partition_contents import observations
from curator_dagster.partition_keys import add_partitions
from curator_dagster.printable_text import printable
from curator_dagster.resources import Storage, known_location
from curator_dagster.watch.cursor import SourceCursor
from curator_dagster.watch.scan import scan_source
from curator_dagster.watch.source import SourceBucket


def curation_job(curation: Curation, assets: Sequence[dg.AssetsDefinition]) -> Any:
    """The job that materializes all assets. Dagster has no public name for its class."""
    return dg.define_asset_job(
        curation.job_name,
        selection=dg.AssetSelection.assets(*assets),
        # The work is done in Ray. A process for each step would cost 4 s, and 7 s more to start its own Ray.
        executor_def=dg.in_process_executor,
        description="From source videos to a dataset: all phases, for the partitions of the run. What is in one: the "
        "events on the page of videos, or the command curator show ROOT --partitions.",
    )


def find_videos_job(curation: Curation, source: SourceBucket) -> dg.JobDefinition:
    """The job that scans the source until its end and adds partitions, but launches no run."""
    location = printable(known_location(source.location)) or "the source"

    @dg.op(name=curation.scoped("list_source"), required_resource_keys=curation.source_resource_keys)
    def list_source(context: dg.OpExecutionContext) -> None:
        storage: Storage = getattr(context.resources, curation.scoped("storage"))
        source: SourceBucket = getattr(context.resources, curation.scoped("source"))
        cursor, is_complete = SourceCursor(), False
        while not is_complete:
            scan = scan_source(curation, storage, source, context.instance, cursor)
            add_partitions(context.instance, curation.scoped("sources"), scan.new_partitions)
            remove_partitions(curation, context.instance, scan.invented_partitions)
            for event in scan.existing:
                context.instance.report_runless_asset_event(event)
            for observation in observations(curation, scan.described):
                context.log_event(observation)
            context.log.info(scan.scan_summary)
            cursor, is_complete = scan.cursor, scan.is_complete

    @dg.job(
        name=curation.scoped("find_videos"),
        executor_def=dg.in_process_executor,
        description=f"Groups new videos of {location} into partitions, adds those, and says what is in each. Curates "
        "nothing.",
    )
    def find_videos() -> None:
        list_source()

    return find_videos


def rewrite_job(curation: Curation, assets: Sequence[dg.AssetsDefinition]) -> Any:
    """The job that materializes `dataset` alone. Dagster has no public name for its class."""
    dataset = [asset for asset in assets if curation.asset_key("dataset") in asset.keys]
    return dg.define_asset_job(
        curation.scoped("rewrite_dataset"),
        selection=dg.AssetSelection.assets(*dataset),
        executor_def=dg.in_process_executor,
        description="Writes the dataset of partitions again, by the decisions that dedup has taken by now.",
    )
