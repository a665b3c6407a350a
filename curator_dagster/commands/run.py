"""`curator run` and `curator retry`, once their parameters are known to be right."""

from typing import Any

import dagster as dg

from curator_dagster.account import account, why
from curator_dagster.commands.console import messages, output, progress_display, reasons_of_runs, summary
from curator_dagster.commands.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED
from curator_dagster.commands.launch import Plan, dagster_instance, plan, run_plan
from curator_dagster.commands.requests import Config
from curator_dagster.commands.retry_plan import plan_retry
from stages.errors import CurationError, ParamsError, StorageError
from stages.params import ExecutorParams
from stages.retry import using
from stages.run import Session, open_session


def run_and_report(source: str, root: str, params: dict[str, Any], *, until: str) -> int:
    """Curate, show progress, print what was done, and return the exit code.

    Raises:
        ParamsError: the request is wrong.
    """
    err = messages()
    with using(params["executor"].backoff):
        try:
            work = plan(source, root, params, until=until)
        except ParamsError:
            raise
        except CurationError as error:  # the store does not answer, or the list of partitions is damaged
            err.print(f"curator: {error}")
            return EXIT_FAILED
        except OSError as error:
            err.print(f"curator: {_unusable(root, error)}")
            return EXIT_FAILED
        err.print(f"videos: {work.sources}, partitions: {len(work.partitions)}, root: {work.root}")
        return _run_plans([work], params["executor"])


def retry_and_report(root: str, asked: Config, *, assets: list[str], reasons: list[str]) -> int:
    """Work again on chosen failed items and on what follows from them; progress, result and exit code as of a run.

    Raises:
        ParamsError: the request is wrong.
        ManifestError: nothing is committed under the root, or a commit is damaged.
    """
    err = messages()
    executor = ExecutorParams.model_validate(asked.get("executor", {}))
    with using(executor.backoff):
        try:
            chosen = plan_retry(root, asked, assets=assets, reasons=reasons)
        except (StorageError, OSError) as error:
            err.print(f"curator: {error}")
            return EXIT_FAILED
        for (asset, reason), count in sorted(chosen.items.items()):
            err.print(f"to be tried again: {asset}: {count} failed with {reason}")
        if not chosen.plans:
            err.print("No row failed so; nothing is to be tried again.")
            return 0
        return _run_plans(chosen.plans, executor)


def _run_plans(plans: list[Plan], executor: ExecutorParams) -> int:
    """Run one after the other; one that stops does not keep the next from its partitions, an interruption does."""
    err = messages()
    ends: list[tuple[int, str]] = []
    with (
        dagster_instance() as instance,
        progress_display(err) as report,
        open_session(executor, report) as session,
    ):
        for work in plans:
            ends.append(_curate(work, session, instance))
            if ends[-1][0] == EXIT_INTERRUPTED:
                break
    _print_result(plans[0].root, session)
    for _, message in ends:
        if message:
            err.print(f"curator: {message}")
    return max(code for code, _ in ends)


def _curate(work: Plan, session: Session, instance: dg.DagsterInstance) -> tuple[int, str]:
    try:
        run_plan(work, session, instance)
    except dg.Failure as error:
        return EXIT_FAILED, error.description or "a phase stopped"
    except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
        return EXIT_INTERRUPTED, "interrupted; what is done stays, and the same command goes on from there."
    except CurationError as error:
        return EXIT_FAILED, str(error)
    except OSError as error:
        return EXIT_FAILED, _unusable(work.root, error)
    return 0, ""


def _unusable(root: str, error: OSError) -> str:
    return f"the root {root} cannot be used: {error}. What is done stays; mend it, and the same command goes on."


def _print_result(root: str, session: Session) -> None:
    if not any(session.reports):
        return
    out = output()
    out.print(summary(session.reports))
    reasons = reasons_of_runs(session.reports)
    if reasons is not None:
        out.print(reasons)
    for reports in session.reports:
        if any(why(report) for report in reports.values()):
            out.print(account(reports), soft_wrap=True)
    made = {report.asset for reports in session.reports for report in reports.values()}
    place = "dataset" if "dataset" in made else "manifests"
    out.print(f"{place.capitalize()}: {root}/{place}", soft_wrap=True)
