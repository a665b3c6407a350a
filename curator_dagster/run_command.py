"""`curator run` and `curator retry`, once their parameters are known to be right."""

from typing import Any

import dagster as dg

from curator_dagster.console import messages, output, progress_display, reasons_of_runs, summary
from curator_dagster.launch import Plan, dagster_instance, plan, run_plan
from curator_dagster.retry import plan_retry
from stages.errors import CurationError, ParamsError
from stages.params import ExecutorParams
from stages.retry import using
from stages.run import Session, open_session

EXIT_FAILED, EXIT_INTERRUPTED = 1, 130


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
        return _run_and_report([work], params["executor"])


def retry_and_report(root: str, executor: ExecutorParams, *, assets: list[str], reasons: list[str]) -> int:
    """Work again on chosen failed items and on what follows from them; progress, result and exit code as of a run.

    Raises:
        ParamsError: the request is wrong.
        ManifestError: nothing is committed under the root.
    """
    err = messages()
    with using(executor.backoff):
        retry = plan_retry(root, executor, assets=assets, reasons=reasons)
        for (asset, reason), count in sorted(retry.items.items()):
            err.print(f"to be tried again: {asset}: {count} failed with {reason}")
        if not retry.plans:
            err.print("No row failed so; nothing is to be tried again.")
            return 0
        return _run_and_report(retry.plans, executor)


def _run_and_report(plans: list[Plan], executor: ExecutorParams) -> int:
    err = messages()
    code, message = 0, ""
    with (
        dagster_instance() as instance,
        progress_display(err) as report,
        open_session(executor, report) as session,
    ):
        for work in plans:
            code, message = _curate(work, session, instance)
            if code:
                break
    _print_result(plans[0].root, session)
    if message:
        err.print(f"curator: {message}")
    return code


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
    made = {report.asset for reports in session.reports for report in reports.values()}
    place = "dataset" if "dataset" in made else "manifests"
    out.print(f"{place.capitalize()}: {root}/{place}", soft_wrap=True)
