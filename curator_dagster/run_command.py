"""`curator run`, once its parameters are known to be right."""

from typing import Any

import dagster as dg

from curator_dagster.console import messages, output, progress_display, summary, top_reasons
from curator_dagster.launch import Plan, dagster_instance, plan, run_plan
from stages.run import Session, open_session

EXIT_FAILED, EXIT_INTERRUPTED = 1, 130


def run_and_report(source: str, root: str, params: dict[str, Any], *, until: str) -> int:
    """Curate, show progress, print what was done, and return the exit code.

    Raises:
        ParamsError: the request is wrong.
    """
    err = messages()
    work = plan(source, root, params, until=until)
    err.print(f"videos: {work.sources}, partitions: {len(work.partitions)}, root: {work.root}")
    with (
        dagster_instance() as instance,
        progress_display(err) as report,
        open_session(params["executor"], report) as session,
    ):
        code, message = _curate(work, session, instance)
    _print_result(work, session)
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
    except OSError as error:
        return EXIT_FAILED, (
            f"the root {work.root} cannot be used: {error}. What is done stays; mend it, and the same command goes on."
        )
    return 0, ""


def _print_result(work: Plan, session: Session) -> None:
    if not any(session.reports):
        return
    out = output()
    out.print(summary(session.reports))
    reasons = top_reasons(session.reports)
    if reasons is not None:
        out.print(reasons)
    made = {report.asset for reports in session.reports for report in reports.values()}
    place = "dataset" if "dataset" in made else "manifests"
    out.print(f"{place.capitalize()}: {work.root}/{place}", soft_wrap=True)
