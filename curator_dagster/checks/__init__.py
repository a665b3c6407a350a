"""Checks on every table, taken when it is committed: declared with its asset, no steps of their own."""

from curator_dagster.checks.declared import check_specs
from curator_dagster.checks.evaluation import evaluated

__all__ = ["check_specs", "evaluated"]
