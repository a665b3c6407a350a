"""The seven assets, in phase order. Each hands its tables to `execution.run_phase`."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import dagster as dg

from curator_dagster.checks import no_row_lost_spec
from curator_dagster.config import (
    CaptionConfig,
    DedupConfig,
    EmbedConfig,
    FilterConfig,
    ReadConfig,
    SplitConfig,
    WriteConfig,
)
from curator_dagster.execution import run_phase
from curator_dagster.metadata import asset_metadata
from curator_dagster.partitions import SOURCES
from curator_dagster.resources import Storage
from stages.params import Params
from stages.run import Session

Context = dg.AssetExecutionContext
Pool = dg.ResourceParam[Session]
Result = dg.MaterializeResult

Body = Callable[..., Result]
Deps = Sequence[dg.AssetsDefinition]


def declared(config: type[Params]) -> dict[str, Any]:
    """What is declared alike for every asset."""
    return {
        "group_name": "video_curation",
        "owners": ["team:video-curation"],
        "kinds": {"ray", "parquet"},
        "code_version": config.code_version,
        "check_specs": [no_row_lost_spec(config.asset)],
        "metadata": asset_metadata(config.asset),
    }


def by_batch(config: type[Params], *, deps: Deps = ()) -> Callable[[Body], dg.AssetsDefinition]:
    """An asset with a table per batch of sources; one run takes any number of batches, so that models load once."""

    def decorate(body: Body) -> dg.AssetsDefinition:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.BetaWarning)  # backfill_policy, beta since 1.5
            policy = dg.BackfillPolicy.single_run()
            return dg.asset(deps=deps, partitions_def=SOURCES, backfill_policy=policy, **declared(config))(body)

    return decorate


def over_all(config: type[Params], *, deps: Deps) -> Callable[[Body], dg.AssetsDefinition]:
    """An asset with one table over all batches."""
    return dg.asset(deps=deps, **declared(config))


@by_batch(ReadConfig)
def videos(context: Context, config: ReadConfig, ray_pool: Pool, storage: Storage) -> Result:
    """Source videos, probed by ranges without loading the file.

    One row a video: size, codec, displayed width and height, rotation, frame rate, length and where that came
    from. What cannot be read (empty, no video stream, header damaged, gone) is a failed row that says what to do.
    """
    return run_phase(context, config, ray_pool, storage)


@by_batch(SplitConfig, deps=[videos])
def clips(context: Context, config: SplitConfig, ray_pool: Pool, storage: Storage) -> Result:
    """Clips: spans of a video between shot changes, or of fixed length.

    The one decode of each video. It also fills the frame store and measures motion, which all later phases read.
    A clip is a span in PTS; nothing is cut yet. A video that yields no clip has one row that says why.
    """
    return run_phase(context, config, ray_pool, storage)


@by_batch(FilterConfig, deps=[clips])
def filtered_clips(context: Context, config: FilterConfig, ray_pool: Pool, storage: Storage) -> Result:
    """Clips with their scores, each kept or rejected by the first filter that it fails.

    Another threshold takes the decisions again from the stored scores; nothing is decoded for it.
    """
    return run_phase(context, config, ray_pool, storage)


@by_batch(EmbedConfig, deps=[filtered_clips])
def embeddings(context: Context, config: EmbedConfig, ray_pool: Pool, storage: Storage) -> Result:
    """One vector of unit length for each clip that the filters kept, from pictures spread over the whole clip."""
    return run_phase(context, config, ray_pool, storage)


@by_batch(CaptionConfig, deps=[filtered_clips])
def captions(context: Context, config: CaptionConfig, ray_pool: Pool, storage: Storage) -> Result:
    """A text for each window of a clip that the filters kept; the column ``model`` says what wrote it."""
    return run_phase(context, config, ray_pool, storage)


@over_all(DedupConfig, deps=[embeddings, filtered_clips])
def unique_clips(context: Context, config: DedupConfig, ray_pool: Pool, storage: Storage) -> Result:
    """Clips of all partitions together, each kept or rejected as the near-duplicate of a kept one.

    Without partitions: it reads every partition that is embedded so far. Earlier decisions stand unless a rebuild
    is asked for.
    """
    return run_phase(context, config, ray_pool, storage)


@by_batch(WriteConfig, deps=[unique_clips, captions, filtered_clips])
def dataset(context: Context, config: WriteConfig, ray_pool: Pool, storage: Storage) -> Result:
    """Clips that survived, cut into files, each with a preview, a JSON and a row of the index.

    Copied without encoding where the span allows it.
    """
    return run_phase(context, config, ray_pool, storage)


ASSETS: list[dg.AssetsDefinition] = [videos, clips, filtered_clips, embeddings, captions, unique_clips, dataset]
"""In the order of the phases."""
