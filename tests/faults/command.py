"""`curator run` as tests start it: in a process of its own, or in this one."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from curator_dagster.commands.cli_params import parse_params
from curator_dagster.commands.run_plan import dagster_instance, execute_plan, plan_run
from stages.run import Session, open_session
from tests.faults.waiting import wait_for_end

PROJECT = Path(__file__).parents[2]
OWN = ("DAGSTER_HOME", "CURATOR_ROOT")
"""Variables of whoever runs the tests, which no run of a test may follow."""


def arguments(
    source: Path | str, root: Path | str, settings: Mapping[str, Any], *, until: str = "dataset"
) -> list[str]:
    """What stands behind `curator`; settings by parameter, such as "split.method"."""
    given = ["run", str(source), "--root", str(root), "--until", until]
    return given + [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]


@contextmanager
def started(
    arguments: list[str],
    *,
    module: str = "curator_dagster.cli",
    env: Mapping[str, str] | None = None,
    **popen: Any,
) -> Iterator[subprocess.Popen[str]]:
    """A process that runs `main` of a module, its output and its errors in one pipe; it is gone after the block.

    Args:
        arguments: of the command.
        module: whose `main` is called.
        env: variables beside those of this process.
        popen: further arguments of `subprocess.Popen`.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in OWN}
    with subprocess.Popen(
        [sys.executable, "-c", f"from {module} import main; main()", *arguments],
        cwd=PROJECT,
        env={**inherited, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **popen,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code, and all that it printed, once it ended."""
    printed = wait_for_end(process)[0]
    return process.returncode, printed


def ran(arguments: list[str], **options: Any) -> tuple[int, str]:
    """Exit code, and all that it printed, of a process as `started` starts it."""
    with started(arguments, **options) as process:
        return ended(process)


def curate_here(source: Path, root: Path, settings: Mapping[str, Any], *, until: str = "dataset") -> Session:
    """What the command does, in this process; returns the session that it was done in, closed."""
    params = parse_params(None, [f"{name}={value}" for name, value in settings.items()])
    with dagster_instance() as instance, open_session(params["executor"]) as session:
        execute_plan(plan_run(str(source), str(root), params, until=until), session, instance)
    return session
