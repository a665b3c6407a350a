"""`curator run` and `curator retry`, with validated parameters."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

import typer

from curator_dagster.commands.cli_params import ParamValues
from curator_dagster.commands.console import (
    progress_display,
    reasons_table,
    stderr_console,
    stdout_console,
    summary_table,
)
from curator_dagster.commands.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED
from curator_dagster.commands.retry_plan import plan_retry
from curator_dagster.commands.run_plan import RunPlan, changed_tables, expected_params, has_new_work, plan_run
from curator_dagster.interrupts import signals_as_keyboard_interrupt
from curator_dagster.phase_summary import further_reports, precedence_lines, summary_line
from stages.errors import CurationError, ParamsError, StorageError
from stages.manifest import committed_partitions
from stages.params import PHASES, ExecutorParams
from stages.retry import using
from stages.run import Session, open_session
from stages.storage import Storage

_INTERRUPTED = "interrupted; what is done stays, and the same command goes on from there."

PlanExecutor = Callable[[RunPlan, Session], None]
"""Executes a plan on the workers of a session."""


def run_command(source: str, root: str, params: dict[str, Any], *, until: str, asks: bool = False) -> int:
    """Curate, show progress, print a summary, and return the exit code.

    Args:
        source: a folder of videos, one video, or an fsspec URL.
        root: where everything is written.
        params: validated, by group.
        until: the last asset to make.
        asks: whether to ask before tables are made with other parameters than before.

    Raises:
        ParamsError: the request is invalid.
    """
    err = stderr_console()
    with using(params["executor"].backoff), open_session(params["executor"]) as session:
        try:
            with signals_as_keyboard_interrupt():  # what was started meanwhile must not stay
                run_plan, changes = _plan(session, source, root, params, until)
        except ParamsError:
            raise
        except KeyboardInterrupt:
            err.print(f"curator: {_INTERRUPTED}")
            return EXIT_INTERRUPTED
        except CurationError as error:  # the store does not answer, or the list of partitions is damaged
            err.print(f"curator: {error}")
            return EXIT_FAILED
        except OSError as error:
            err.print(f"curator: {_unusable_root(root, error)}")
            return EXIT_FAILED
        err.print(f"videos: {run_plan.num_sources}, partitions: {len(run_plan.partitions)}, root: {run_plan.root}")
        for change in changes:
            err.print(f"made with other parameters than before: {change}", soft_wrap=True)
        if changes and asks and not _confirms("Go on?"):
            err.print("Nothing was curated; new videos are registered.")
            return EXIT_INTERRUPTED
        return _execute_plans([run_plan], session)


def _plan(session: Session, source: str, root: str, params: dict[str, Any], until: str) -> tuple[RunPlan, list[str]]:
    """The plan, and the lines on changed parameters; workers start as soon as it is certain that there is work."""
    start = partial(_start_on_new_root, session, params)
    run_plan = plan_run(source, root, params, until=until, on_checked=start)
    changes = changed_tables(run_plan)
    if changes or has_new_work(run_plan):
        session.start()
    return run_plan, changes


def _start_on_new_root(session: Session, params: dict[str, Any], assets: list[str], root: str) -> None:
    """Start the workers while sources are listed, where all that is found is new."""
    session.expect(expected_params(params, assets), root)
    if not committed_partitions(Storage(root), PHASES["read"].asset):
        session.start()


def _confirms(question: str) -> bool:
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:  # Ctrl-C, or the end of the input
        return False


def retry_command(root: str, overrides: ParamValues, *, assets: list[str], reasons: list[str]) -> int:
    """Work again on chosen failed items and their downstream tables; output and exit code as of `run_command`.

    Raises:
        ParamsError: the request is invalid.
        ManifestError: nothing is committed under the root, or a commit is damaged.
    """
    err = stderr_console()
    executor = ExecutorParams.model_validate(overrides.get("executor", {}))
    with using(executor.backoff):
        try:
            retry = plan_retry(root, overrides, assets=assets, reasons=reasons)
        except (StorageError, OSError) as error:
            err.print(f"curator: {error}")
            return EXIT_FAILED
        for (asset, reason), count in sorted(retry.items.items()):
            err.print(f"to be tried again: {asset}: {count} failed with {reason}")
        if not retry.plans:
            err.print("No row failed so; nothing is to be tried again.")
            return 0
        return _execute_plans(retry.plans, Session(executor))


def _execute_plans(plans: list[RunPlan], session: Session) -> int:
    """Execute the plans one after the other, also after one that failed, but not after an interruption.

    The session is closed then.
    """
    err = stderr_console()
    exits: list[tuple[int, str]] = []
    with _plan_executor() as execute, progress_display(err) as callback, closing(session):
        session.on_progress = callback
        for run_plan in plans:
            exits.append(_execute(execute, run_plan, session))
            if exits[-1][0] == EXIT_INTERRUPTED:
                break
    _print_summary(plans[0].root, session)
    for _, message in exits:
        if message:
            err.print(f"curator: {message}")
    return max(code for code, _ in exits)


@contextmanager
def _plan_executor() -> Iterator[PlanExecutor]:
    """What executes plans: in the Dagster instance of DAGSTER_HOME, or without Dagster where no instance is named.

    Raises:
        ParamsError: DAGSTER_HOME is not usable.
    """
    if not os.environ.get("DAGSTER_HOME"):
        from curator_dagster.commands.direct_run import execute_without_dagster

        yield execute_without_dagster
        return
    from curator_dagster.commands.dagster_run import dagster_instance, execute_plan

    with dagster_instance() as instance:
        yield partial(execute_plan, instance=instance)


def _execute(execute: PlanExecutor, run_plan: RunPlan, session: Session) -> tuple[int, str]:
    try:
        execute(run_plan, session)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED, _INTERRUPTED
    except CurationError as error:
        return EXIT_FAILED, str(error)
    except OSError as error:
        return EXIT_FAILED, _unusable_root(run_plan.root, error)
    return 0, ""


def _unusable_root(root: str, error: OSError) -> str:
    return f"the root {root} cannot be used: {error}. What is done stays; mend it, and the same command goes on."


def _print_summary(root: str, session: Session) -> None:
    if not any(session.reports):
        return
    out = stdout_console()
    out.print(summary_table(session.reports))
    reasons = reasons_table(session.reports)
    if reasons is not None:
        out.print(reasons)
    for reports in session.reports:
        for each in (reports, *further_reports(reports)):
            if any(report.changes for report in each.values()):
                out.print(summary_line(each), soft_wrap=True)
            for line in precedence_lines(each):
                out.print(line, soft_wrap=True)
    made = {report.asset for reports in session.reports for report in reports.values()}
    place = "dataset" if "dataset" in made else "manifests"
    out.print(f"{place.capitalize()}: {root}/{place}", soft_wrap=True)
    versions = [report.root_version for reports in session.reports for report in reports.values()]
    if any(versions):
        out.print(f"Version of the root: {max(filter(None, versions))}")
