"""The seven assets of a curation, in phase order. Each hands its tables to `execution.run_phase`."""

import warnings
from collections.abc import Callable, Mapping
from functools import partial

import dagster as dg

from curator_dagster.checks import no_row_lost_spec
from curator_dagster.config import config_class
from curator_dagster.curation import SPANNING_ASSETS, Curation
from curator_dagster.execution import run_phase
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
    return [_phase_asset(curation, params, specs) for params in curation.params.values()]


def _phase_asset(curation: Curation, params: Params, specs: Mapping[str, dg.AssetSpec]) -> dg.AssetsDefinition:
    """One asset, with a table a partition; one run takes any number of them, so that models load once."""
    spec = specs[params.asset]
    config = config_class(params)

    def body(context, config):
        return run_phase(curation, context, config)

    body.__annotations__ = {
        "context": dg.AssetExecutionContext,
        "config": config,
        "return": dg.MaterializeResult,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # backfill_policy, beta since 1.5
        policy = None if params.asset in SPANNING_ASSETS else dg.BackfillPolicy.single_run()
        return dg.multi_asset(
            name=curation.op_name(params.asset),
            specs=[spec],
            check_specs=[no_row_lost_spec(spec.key)],
            backfill_policy=policy,
            pool=curation.pools.get(params.phase),
            required_resource_keys={curation.scoped("ray_pool"), curation.scoped("storage")},
        )(body)
