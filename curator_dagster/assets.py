"""The seven assets of a curation, in phase order. Each hands its tables to `execution.run_phase`."""

import warnings
from collections.abc import Callable, Mapping
from functools import partial

import dagster as dg

from curator_dagster.checks import check_specs
from curator_dagster.config import config_class
from curator_dagster.curation import Curation
from curator_dagster.execution import run_phase
from curator_dagster.resources import session_on
from curator_dagster.specs import ABOUT, asset_spec
from stages.params import Params

SpecOf = Callable[[str], dg.AssetSpec]
"""The spec of an asset, by the name of its table."""


def curation_assets(curation: Curation, spec_of: SpecOf | None = None) -> list[dg.AssetsDefinition]:
    """The assets, in the order of the phases.

    Args:
        curation: what they are called and begin with.
        spec_of: how they stand in the graph, where that is not as `specs.asset_spec` has it.
    """
    spec_of = spec_of or partial(asset_spec, curation)
    specs = {asset: spec_of(asset) for asset in ABOUT}
    session = session_on(curation.ray_pool, curation.executor)
    return [_phase_asset(curation, params, specs, session) for params in curation.params.values()]


def _phase_asset(
    curation: Curation, params: Params, specs: Mapping[str, dg.AssetSpec], session: dg.ResourceDefinition
) -> dg.AssetsDefinition:
    """One asset, with a table a partition; one run takes any number of them, so that models load once."""
    spec = specs[params.asset]
    config = config_class(params)

    def body(context, config):
        return run_phase(curation, context, config)

    body.__annotations__ = {
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
            pool=curation.pool(params.phase),
            resource_defs={curation.scoped("session"): session},
            required_resource_keys=curation.resource_keys(params.asset),
        )(body)
