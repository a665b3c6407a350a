"""Jobs: one that curates, and one that finds what there is to curate."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from curator_dagster.curation import Curation
from curator_dagster.partitions import add_partitions
from curator_dagster.resources import Storage
from curator_dagster.watch.cursor import Cursor
from curator_dagster.watch.look import look
from curator_dagster.watch.source import SourceBucket


def curation_job(curation: Curation, assets: Sequence[dg.AssetsDefinition]) -> Any:
    """From source videos to a dataset. Dagster has no public name for the class of what this is."""
    return dg.define_asset_job(
        curation.job_name,
        selection=dg.AssetSelection.assets(*assets),
        # The work is in Ray. A process per step would cost 4 s each, and 7 s more for a Ray of its own.
        executor_def=dg.in_process_executor,
        description="From source videos to a dataset: all phases, for the partitions of the run.",
    )


def find_videos_job(curation: Curation) -> dg.JobDefinition:
    """Registers and adds the partitions of all videos that are there, for those who choose themselves what to run."""

    @dg.op(name=curation.scoped("list_source"), required_resource_keys=curation.source_keys)
    def list_source(context: dg.OpExecutionContext) -> None:
        storage: Storage = getattr(context.resources, curation.scoped("storage"))
        source: SourceBucket = getattr(context.resources, curation.scoped("source"))
        cursor, is_over = Cursor(), False
        while not is_over:
            found = look(curation, storage, source, context.instance, cursor)
            add_partitions(context.instance, curation.scoped("sources"), found.new_partitions)
            context.log.info(found.taken_up)
            cursor, is_over = found.cursor, found.is_over

    @dg.job(
        name=curation.scoped("find_videos"),
        executor_def=dg.in_process_executor,
        description="Groups new videos of the source into partitions, and adds those. Curates nothing.",
    )
    def find_videos() -> None:
        list_source()

    return find_videos
