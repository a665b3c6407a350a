"""Plans runs of the command line: lists the sources, registers them, and says which tables are to be made."""

import errno
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from curator_dagster.asset_graph import ASSET_GRAPH, UNPARTITIONED_ASSETS
from curator_dagster.phase_summary import changed_params_line
from stages.errors import ParamsError
from stages.manifest import ALL, ManifestRef, committed_partitions
from stages.params import PHASES, Params
from stages.run import check_embedder, check_phases, check_ranking, check_reachable, check_signals
from stages.sources import Register, list_sources, register_sources
from stages.storage import Storage, normalize_location


@dataclass(frozen=True)
class RunPlan:
    """Assets and partitions to materialize, and the parameters.

    Attributes:
        root: where everything is written.
        params: validated, by group.
        assets: in phase order.
        num_sources: videos that were listed and not forgotten; None where the source was not listed.
        partitions: keys of the partitions that hold the listed videos, or other versions of them.
    """

    root: str
    params: dict[str, Any]
    assets: list[str]
    num_sources: int | None
    partitions: list[str]


def plan_run(
    source: str,
    root: str,
    params: dict[str, Any],
    *,
    until: str,
    register_root: str | None = None,
    on_checked: Callable[[list[str], str], None] = lambda assets, root: None,
) -> RunPlan:
    """List the sources and register each in a partition, without reading the videos.

    Args:
        source: a folder of videos, one video, or an fsspec URL.
        root: of the tables.
        params: validated, by group.
        until: the last asset to make.
        register_root: another root to register below, such as a copy for a dry run.
        on_checked: called with the assets and the root once the parameters are known to be valid, before the source is
            listed.

    Raises:
        ParamsError: a parameter names a missing class, the source is missing or empty, or the root cannot be
            written.
        OSError: the root's disk is full.
    """
    assets = assets_up_to(until)
    check_request(params, assets, root)
    read = params["read"]
    storage = Storage(root)
    for location in (storage.root, source):
        check_reachable(location, params["executor"])
    on_checked(assets, storage.root)
    # Clips written to a root inside the source folder are no sources.
    sources = list_sources(source, read, excluded_folder=storage.root)
    if not sources:
        raise ParamsError(
            f"SOURCE must hold at least one video, got {source!r} with no file that read.include admits: "
            f"{', '.join(read.include)}."
        )
    try:
        register_storage = Storage(register_root or root)
        register_sources(register_storage, sources, read)
        register = Register(register_storage)
        # Also partitions of other versions of a source, whose clips leave the dataset.
        partitions = register.partitions_of({listed.uri for listed in sources})
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise  # a full disk, not a wrong request
        raise ParamsError(f"--root must be a place that can be written to, got {root!r}: {error}.") from error
    forgotten = sum(register.is_forgotten(listed.uri) for listed in sources)
    if forgotten == len(sources):
        raise ParamsError(
            f"SOURCE must hold a video that the root may take up, got {source!r}, all of which `curator forget` took "
            "out of it for good."
        )
    return RunPlan(storage.root, params, assets, len(sources) - forgotten, partitions)


def check_request(params: Mapping[str, Any], assets: Collection[str], root: str) -> None:
    """Check the parameters of the phases that make some assets, and what they require of one another.

    Raises:
        ParamsError: names the mistakes.
    """
    check_phases(expected_params(params, assets), root)
    scores_clips = PHASES["filter"].asset in assets
    if scores_clips:
        check_signals(params["split"], params["filter"])
    if PHASES["dedup"].asset in assets:
        if scores_clips:  # else it ranks by the scores that clips have, maybe of other filters
            check_ranking(params["filter"], params["dedup"])
        check_embedder(params["embed"], params["dedup"], root)


def expected_params(params: Mapping[str, Any], assets: Collection[str]) -> list[Params]:
    """The parameters of the phases that make some assets, in the order in which they run."""
    return [params[phase] for phase, model in PHASES.items() if model.asset in assets]


def has_new_work(run_plan: RunPlan) -> bool:
    """Whether a partition of the plan was never committed; where none was, the tables may be as they are to be."""
    return not set(run_plan.partitions) <= set(committed_partitions(Storage(run_plan.root), PHASES["read"].asset))


def changed_tables(run_plan: RunPlan) -> list[str]:
    """For each asset of the plan whose tables were last made with other parameters, a line that says which."""
    root = normalize_location(run_plan.root)
    lines = []
    for phase, params in PHASES.items():
        if params.asset in run_plan.assets:
            keys = [ALL] if params.asset in UNPARTITIONED_ASSETS else run_plan.partitions
            made_by = run_plan.params[phase]
            for each in (made_by, *made_by.further()):
                lines.append(changed_params_line(each, [ManifestRef(root, each.table, key) for key in keys]))
    return [line for line in lines if line]


def assets_up_to(until: str) -> list[str]:
    """An asset and all of its upstream assets, in phase order."""
    assets = {until}
    for asset, node in reversed(ASSET_GRAPH.items()):
        if asset in assets:
            assets.update(node.deps)
    return [asset for asset in ASSET_GRAPH if asset in assets]
