"""`curator run --dry-run`: what a run would reuse, decide and compute, without writing anything below the root."""

import tempfile
from typing import Any

from curator_dagster.asset_graph import ASSET_GRAPH, UNPARTITIONED_ASSETS
from curator_dagster.commands.console import build_table, stderr_console, stdout_console
from curator_dagster.commands.exit_codes import EXIT_FAILED
from curator_dagster.commands.run_plan import RunPlan, plan_run
from stages.errors import CurationError, ParamsError
from stages.manifest import ALL, ManifestRef, committed_partitions
from stages.params import PHASES
from stages.retry import using
from stages.run import DryRun, Inputs, PhasePlan
from stages.sources import copy_register, registered_partitions
from stages.storage import Storage

_PHASE_OF = {model.asset: phase for phase, model in PHASES.items()}
_COLUMNS = ("phase", "reused", "redecided", "computed", "because")


def dry_run_command(source: str, root: str, params: dict[str, Any], *, until: str) -> int:
    """Print a table of the phases, and return the exit code.

    Raises:
        ParamsError: the request is invalid.
    """
    err = stderr_console()
    with using(params["executor"].backoff), tempfile.TemporaryDirectory(prefix="curator-dry-run-") as folder:
        try:
            copy_register(Storage(root), Storage(folder))
            known = set(registered_partitions(Storage(folder)))
            run_plan = plan_run(source, root, params, until=until, register_root=folder)
            plans = plan_phases(run_plan, folder)
        except ParamsError:
            raise
        except (CurationError, OSError) as error:
            err.print(f"curator: {error}")
            return EXIT_FAILED
    num_new = sum(key not in known for key in run_plan.partitions)
    err.print(
        f"videos: {run_plan.num_sources}, partitions: {len(run_plan.partitions)}, {num_new} of them new, "
        f"root: {run_plan.root}"
    )
    out = stdout_console()
    out.print(build_table(_COLUMNS, [_cells(plan) for plan in plans], numbers=_COLUMNS[1:4]))
    if any(plan.is_open for plan in plans):
        out.print("What follows from items that have to be computed is not known before the phases above ran.")
    out.print("Nothing was written, and no video was registered.")
    return 0


def _cells(plan: PhasePlan) -> list[object]:
    numbers = [_number(each, is_open=plan.is_open) for each in (plan.reused, plan.redecided, plan.computed)]
    return [plan.phase, *numbers, "; ".join(plan.changes)]


def _number(known: int, *, is_open: bool) -> str:
    """A number of items, of which more may follow from earlier phases."""
    if not is_open:
        return str(known)
    return f"{known} or more" if known else "unknown"


def plan_phases(run_plan: RunPlan, register_root: str) -> list[PhasePlan]:
    """What each phase of a run would do, in their order.

    Args:
        run_plan: of the run.
        register_root: where its partitions are registered.
    """
    dry_run = DryRun(run_plan.root, register_root, run_plan.params["executor"].transient)
    order = registered_partitions(Storage(register_root))
    plans: list[PhasePlan] = []
    for phase, model in PHASES.items():
        if model.asset in run_plan.assets:
            keys = [ALL] if model.asset in UNPARTITIONED_ASSETS else run_plan.partitions
            params, inputs = run_plan.params[phase], _inputs(run_plan, model.asset, order)
            for each in (params, *params.further()):
                plans.append(dry_run.plan(each, inputs, [ManifestRef(run_plan.root, each.table, key) for key in keys]))
    return plans


def _inputs(run_plan: RunPlan, asset: str, order: list[str]) -> Inputs:
    """The tables that an asset would be made from: of the partitions of the run, or of all where it has none itself."""
    upstream = ASSET_GRAPH[asset].deps
    keys = run_plan.partitions
    if asset in UNPARTITIONED_ASSETS:
        storage = Storage(run_plan.root)
        tables = [run_plan.params[_PHASE_OF[asset]].table_read(each) for each in upstream]
        committed = set.intersection(*(set(committed_partitions(storage, each)) for each in tables))
        keys = [key for key in order if key in committed or key in run_plan.partitions]
    return {
        each: [ManifestRef(run_plan.root, each, key) for key in ([ALL] if each in UNPARTITIONED_ASSETS else keys)]
        for each in upstream
    }
