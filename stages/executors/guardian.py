"""A small process that outlives its driver just long enough to end the Ray that the driver started.

Ray's own processes notice a driver that was killed, but some of its agents stay for a long time. This one waits for the
end of its standard input, which the system closes however the driver ends, and then kills what is left of the session.
Agents and workers hide their command line, so it notes meanwhile which processes descend from those that show theirs.
It imports nothing but the standard library, so that it costs some 10 MB.

    python guardian.py SESSION_NAME < pipe
"""

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

LOOK_EVERY_S = 2.0
SEARCHES = 50
PAUSE_S = 0.2
"""Between two searches at the end; a process that is just starting shows up late."""


class Process(NamedTuple):
    """One process; the time of its start tells it from a later one with the same number."""

    pid: int
    started: str


def guard(session: str) -> None:
    """Wait for the driver's end, then kill the processes of its session; for ten seconds at most."""
    seen = set(processes_of(session))
    while not select.select([sys.stdin], [], [], LOOK_EVERY_S)[0]:
        seen.update(processes_of(session))
    for _ in range(SEARCHES):
        left = (seen | set(processes_of(session))) & {process for process, _ in _running()}
        if not left:
            return
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        time.sleep(PAUSE_S)


def processes_of(session: str) -> Iterator[Process]:
    """Processes whose command line names a Ray session, and all that descend from them; this process left out."""
    running = dict(_running())
    by_pid = {process.pid: process for process in running}
    children: dict[int, list[int]] = {}
    for process, parent in running.items():
        children.setdefault(parent, []).append(process.pid)
    waiting = [process.pid for process in running if _names(process.pid, session)]
    found: set[int] = set()
    while waiting:
        pid = waiting.pop()
        if pid not in found and pid != os.getpid():
            found.add(pid)
            waiting.extend(children.get(pid, []))
    return (by_pid[pid] for pid in found)


def _running() -> Iterator[tuple[Process, int]]:
    """Every process of this machine that is no zombie, with its parent's number."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                # The name, in parentheses, may hold anything; the fields after it are: state, parent, ...
                fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
                if fields[0] != "Z":
                    yield Process(int(folder.name), fields[19]), int(fields[1])


def _names(pid: int, session: str) -> bool:
    try:
        return session.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


if __name__ == "__main__":
    guard(sys.argv[1])
