"""`curator run` as tests start it: in a process of its own, or in this one."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curator_dagster.commands.cli_params import parse_params
from curator_dagster.commands.run_plan import dagster_instance, execute_plan, plan_run
from stages.run import Session, open_session

PROJECT = Path(__file__).parents[2]
OWN = ("DAGSTER_HOME", "CURATOR_ROOT")
"""Variables of whoever runs the tests, which no run of a test may follow."""


def arguments(
    source: Path | str, root: Path | str, settings: Mapping[str, Any], *, until: str = "dataset"
) -> list[str]:
    """What stands behind `curator`; settings by parameter, such as "split.method"."""
    given = ["run", str(source), "--root", str(root), "--until", until]
    return given + [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]


def start(
    arguments: list[str],
    *,
    module: str = "curator_dagster.cli",
    env: Mapping[str, str] | None = None,
    **popen: Any,
) -> subprocess.Popen[str]:
    """A process that runs `main` of a module, its output and its errors in one pipe.

    Args:
        arguments: of the command.
        module: whose `main` is called.
        env: variables beside those of this process.
        popen: further arguments of `subprocess.Popen`.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in OWN}
    return subprocess.Popen(
        [sys.executable, "-c", f"from {module} import main; main()", *arguments],
        cwd=PROJECT,
        env={**inherited, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **popen,
    )


def ended(process: subprocess.Popen[str], *, limit_s: float) -> tuple[int, str]:
    """Exit code, and all that it printed, once it ended; one that takes longer is killed, and the test fails."""
    try:
        printed = process.communicate(timeout=limit_s)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, printed


def curate_here(source: Path, root: Path, settings: Mapping[str, Any], *, until: str = "dataset") -> Session:
    """What the command does, in this process; returns the session that it was done in, closed."""
    params = parse_params(None, [f"{name}={value}" for name, value in settings.items()])
    with dagster_instance() as instance, open_session(params["executor"]) as session:
        execute_plan(plan_run(str(source), str(root), params, until=until), session, instance)
    return session
