"""Runs of the command line as the Dagster UI shows them: with their job, and with the command in their tags."""

import re
import shlex
import sys
from functools import partial
from pathlib import Path

import dagster as dg

# They have no public names; a run without an origin is missing on the UI's first page.
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from curator_dagster.printable_text import printable

_USER = re.compile(r"(://)[^\s'\"]*@")
_QUERY = re.compile(r"(?<=://)([^\s'\"?]*)\?[^\s'\"]*")

MAX_COMMAND_CHARS = 1_000

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
    command = [Path(sys.argv[0]).name, *map(_without_secrets, sys.argv[1:])]
    # PostgreSQL refuses an index entry of more than 2.7 kB; the run config has every value anyway.
    return {COMMAND_TAG: printable(shlex.join(command), MAX_COMMAND_CHARS), "dagster/max_retries": "0"}


def _without_secrets(argument: str) -> str:
    """An argument without what URLs carry for one reader: user and password, up to the last "@", and the query."""
    return _QUERY.sub(r"\1?…", _USER.sub(r"\1", argument))
