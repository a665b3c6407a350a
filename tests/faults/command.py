"""Starts `curator run` for tests: in a subprocess, or in this process."""

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
"""Environment variables of the developer that a run under test must not inherit."""


def arguments(
    source: Path | str, root: Path | str, settings: Mapping[str, Any], *, until: str = "dataset"
) -> list[str]:
    """The command line arguments of `curator run`; `settings` maps parameters, such as "split.method", to values."""
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
    """Start a subprocess that runs `main` of a module; it is killed at the end of the block.

    Its stderr goes to the pipe of its stdout.

    Args:
        arguments: command line arguments.
        module: the module whose `main` is called.
        env: environment variables that are added to those of this process.
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
    """Wait for the end of a process; return its exit code and its whole output."""
    printed = wait_for_end(process)[0]
    return process.returncode, printed


def ran(arguments: list[str], **options: Any) -> tuple[int, str]:
    """Run a process with `started` to its end; return its exit code and its whole output."""
    with started(arguments, **options) as process:
        return ended(process)


def curate_here(source: Path, root: Path, settings: Mapping[str, Any], *, until: str = "dataset") -> Session:
    """Run the phases as `curator run` does, in this process; return the session, which is closed."""
    params = parse_params(None, [f"{name}={value}" for name, value in settings.items()])
    with dagster_instance() as instance, open_session(params["executor"]) as session:
        execute_plan(plan_run(str(source), str(root), params, until=until), session, instance)
    return session
