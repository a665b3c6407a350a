"""The specs of the checks of an asset."""

import warnings

import dagster as dg

from curator_dagster.checks.registry import checks_of
from stages.params import CheckParams


def check_specs(asset: str, spec: dg.AssetSpec, params: CheckParams) -> list[dg.AssetCheckSpec]:
    """Specs of the checks of an asset, with its partitions.

    Args:
        asset: name of its table.
        spec: of the asset.
        params: severities; a check that is off has no spec.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)  # partitions_def of a check
        return [
            dg.AssetCheckSpec(
                check.name,
                asset=spec.key,
                description=check.description,
                blocking=check.is_blocking,
                partitions_def=spec.partitions_def,
            )
            for check in checks_of(asset, params)
        ]
