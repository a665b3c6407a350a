"""Nodes of a Ray on this machine, each started as a person starts one, and ended by its process id."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.faults.waiting import terminate, wait_for

STARTED = "Ray runtime started"


@contextmanager
def running_node(
    log: Path, *arguments: str, env: Mapping[str, str] | None = None, hidden: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """`ray start` with these arguments until the end of the block; nothing of that node is left then.

    Where the node has its own in place of a folder, as another machine has, that is `hidden`.
    """
    command = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--disable-usage-stats", *arguments]
    if hidden is not None:
        mounted = f"mount -t tmpfs none '{hidden}' && exec \"$@\""
        command = ["unshare", "--mount", "sh", "-c", mounted, "sh", *command]
    with open(log, "wb") as output:
        node = subprocess.Popen(
            command, env={**os.environ, **(env or {})}, stdout=output, stderr=output, start_new_session=True
        )
    try:
        try:
            wait_for(node, lambda: STARTED in log.read_text(errors="replace"))
        except AssertionError as error:
            error.add_note(log.read_text(errors="replace")[-4000:])
            raise
        yield node
    finally:
        terminate(node)  # drains the node, and ends its processes
