"""Executes a plan without Dagster, where no instance would show the run: importing and starting it takes two seconds.

The phases, their inputs and their checks are those of the assets; what is left out is what only an instance keeps.
"""

from curator_dagster.asset_graph import UNPARTITIONED_ASSETS
from curator_dagster.checks.evaluating import Reports, blocking_failure, blocking_message, evaluate_all
from curator_dagster.checks.registry import checks_of
from curator_dagster.commands.run_plan import RunPlan, check_request, expected_params
from curator_dagster.committed_inputs import input_tables
from curator_dagster.interrupts import signals_as_keyboard_interrupt
from stages.errors import PhaseError
from stages.manifest import ALL, ManifestRef
from stages.params import PHASES, CheckParams
from stages.run import Session, trusting
from stages.storage import Storage


def execute_without_dagster(run_plan: RunPlan, session: Session) -> None:
    """Bring the tables of the plan up to date, one asset after another, and check each.

    Raises:
        PhaseError: a phase stopped, or a blocking check failed; what was committed stays.
    """
    storage = Storage(run_plan.root)
    with signals_as_keyboard_interrupt(), trusting(()):
        check_request(run_plan.params, run_plan.assets, storage.root)
        session.expect(expected_params(run_plan.params, run_plan.assets), storage.root)
        for phase, model in PHASES.items():
            if model.asset in run_plan.assets:
                params = run_plan.params[phase]
                partitions = [ALL] if model.asset in UNPARTITIONED_ASSETS else run_plan.partitions
                inputs = input_tables(storage, params, partitions)
                outputs = [ManifestRef(storage.root, model.asset, partition) for partition in partitions]
                reports = session.run_phase(params, inputs, outputs)
                _check(reports, run_plan.params["checks"], storage)


def _check(reports: Reports, params: CheckParams, storage: Storage) -> None:
    """Evaluate the checks of an asset on the tables that a run made.

    Raises:
        PhaseError: a blocking check failed as an error.
    """
    asset = next(iter(reports.values())).asset
    checks = checks_of(asset, params)
    results = evaluate_all(checks, params, storage, reports)
    failures = [blocking_failure(check, asset, params, results[check.name]) for check in checks]
    if any(failures):
        raise PhaseError(blocking_message([failure for failure in failures if failure]), dict(reports))
