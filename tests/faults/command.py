"""Starts `curator run` for tests: in a subprocess, or in this process."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from curator_dagster.commands.cli_params import parse_params
from curator_dagster.commands.direct_run import execute_without_dagster
from curator_dagster.commands.run_plan import plan_run
from stages.run import Session, open_session
from tests.faults.waiting import communicate

PROJECT = Path(__file__).parents[2]
EXCLUDED_VARIABLES = ("DAGSTER_HOME", "CURATOR_ROOT")
"""Environment variables of the developer that a run under test must not inherit."""


def arguments(
    source: Path | str, root: Path | str, settings: Mapping[str, Any], *, until: str = "dataset"
) -> list[str]:
    """The command line arguments of `curator run`; `settings` maps parameters, such as "split.method", to values."""
    command = ["run", str(source), "--root", str(root), "--until", until]
    return command + [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]


@contextmanager
def running_process(
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
    inherited = {name: value for name, value in os.environ.items() if name not in EXCLUDED_VARIABLES}
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


def wait_for_exit(process: subprocess.Popen[str], *, tree: int | None = None) -> tuple[int, str]:
    """Wait for the end of a process; return its exit code and its whole output. For `tree` see `wait_for`."""
    output = communicate(process, tree=tree)[0]
    return process.returncode, output


def run_process(arguments: list[str], **options: Any) -> tuple[int, str]:
    """Run `main` of a module as `running_process` does, to its end; return its exit code and its whole output."""
    with running_process(arguments, **options) as process:
        return wait_for_exit(process)


def curate_in_process(source: Path, root: Path, settings: Mapping[str, Any], *, until: str = "dataset") -> Session:
    """Run the phases as `curator run` does, in this process; return the session, which is closed."""
    params = parse_params(None, [f"{name}={value}" for name, value in settings.items()])
    with open_session(params["executor"]) as session:
        execute_without_dagster(plan_run(str(source), str(root), params, until=until), session)
    return session
