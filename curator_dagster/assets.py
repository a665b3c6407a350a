"""The seven assets of a curation, in phase order. Each runs `asset_step.run_phase`."""

import warnings
from collections.abc import Callable, Mapping
from functools import partial

import dagster as dg

from curator_dagster.asset_graph import ASSET_GRAPH
from curator_dagster.asset_specs import asset_spec
from curator_dagster.asset_step import run_phase
from curator_dagster.checks.check_specs import check_specs
from curator_dagster.config import config_class
from curator_dagster.curation import Curation
from curator_dagster.phase_process import PHASE_TAG
from curator_dagster.resources import session_resource
from stages.params import Params

SpecOf = Callable[[str], dg.AssetSpec]
"""The spec of an asset, by the name of its table."""


def curation_assets(curation: Curation, spec_of: SpecOf | None = None) -> list[dg.AssetsDefinition]:
    """The assets, in the order of the phases.

    Args:
        curation: their names, parameters and settings.
        spec_of: makes the spec of an asset; `asset_specs.asset_spec` where none is given.
    """
    spec_of = spec_of or partial(asset_spec, curation)
    specs = {asset: spec_of(asset) for asset in ASSET_GRAPH}
    session = session_resource(curation.ray_pool_key, curation.executor)
    return [_phase_asset(curation, params, specs, session) for params in curation.params.values()]


def _phase_asset(
    curation: Curation, params: Params, specs: Mapping[str, dg.AssetSpec], session: dg.ResourceDefinition
) -> dg.AssetsDefinition:
    """One asset with a table for each partition; one run takes any number of partitions, so that models load once."""
    spec = specs[params.asset]
    config = config_class(params)

    def compute(context, config):
        return run_phase(curation, context, config)

    compute.__annotations__ = {
        "context": dg.AssetExecutionContext,
        "config": config,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # backfill_policy, beta since 1.5
        # Of unique_clips too: without it `dg launch` refuses a range of partitions over all assets.
        policy = dg.BackfillPolicy.single_run()
        return dg.multi_asset(
            name=curation.op_name(params.asset),
            specs=[spec],
            check_specs=check_specs(params.asset, spec, curation.checks),
            backfill_policy=policy,
            pool=curation.concurrency_pool(params.phase),
            op_tags={PHASE_TAG: params.phase},
            resource_defs={curation.scoped("session"): session},
            required_resource_keys=curation.required_resource_keys(params.asset),
        )(compute)
