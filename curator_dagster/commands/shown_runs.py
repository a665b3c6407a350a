"""Runs of the command line as the Dagster UI shows them: with their job, and with the command in their tags."""

import shlex
import sys
from functools import partial
from pathlib import Path

import dagster as dg

# They have no public names; a run without an origin is missing on the UI's first page.
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from curator_dagster.printable_text import printable

COMMAND_TAG = "curator/command"
"""Tag of the runs of a command: the command as it was typed."""

CODE_LOCATION = "curator_dagster"
"""The location of workspace.yaml, under which the UI shows the runs."""


def attribute_runs(instance: dg.DagsterInstance, job_name: str) -> None:
    """Let every run that this process creates in the instance belong to the job of the code location.

    `execute_in_process` has no argument for that.
    """
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(CODE_LOCATION), "__repository__")
    create_run = partial(instance.create_run_for_job, remote_job_origin=RemoteJobOrigin(repository, job_name))
    setattr(instance, "create_run_for_job", create_run)  # noqa: B010 - a method cannot be assigned to


def command_tags() -> dict[str, str]:
    """Tags of the runs of this process: its command line, without passwords in URLs, and no retries by the daemon.

    The daemon would retry a run in the code location, with that location's root.
    """
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return {COMMAND_TAG: printable(command), "dagster/max_retries": "0"}
