"""Asset checks: declared with their asset, and evaluated in its step after the table is committed."""

from curator_dagster.checks.check_specs import check_specs
from curator_dagster.checks.evaluation import evaluate_checks

__all__ = ["check_specs", "evaluate_checks"]
