"""`curator run` in a process of its own that writes down how far it is, for tests that strike at a chosen moment.

Its arguments are TRACE run SOURCE --root ROOT ...
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from curator_dagster import cli
from curator_dagster.commands import run_and_retry
from curator_dagster.progress import ProgressCallback
from stages.executors.cleanup_process import Process, processes_of
from stages.run import Progress
from tests.faults.command import arguments, curate_here, ended, start
from tests.faults.tables import Tables, tables
from tests.faults.temporary import temporary_folder
from tests.faults.waiting import wait_for, wait_until

LIMIT_S = 240.0
VICTIMS = {"raylet": "raylet/raylet", "gcs_server": "gcs/gcs_server", "worker": "ray::Worker"}
"""What the command line of a process of Ray holds."""


@dataclass(frozen=True)
class Step:
    """How far a phase was.

    Attributes:
        phase: its name.
        done: items that have their rows.
        total: items.
        at_s: when, in seconds of the monotonic clock, which all processes share.
    """

    phase: str
    done: int
    total: int
    at_s: float


def done_by_phase(steps: list[Step]) -> dict[str, int]:
    """Items that a run finished; a phase that runs in several passes counts anew in each."""
    done: dict[str, int] = {}
    before: dict[str, int] = {}
    for step in steps:
        last = before.get(step.phase, 0)
        done[step.phase] = done.get(step.phase, 0) + (step.done - last if step.done >= last else step.done)
        before[step.phase] = step.done
    return done


@dataclass
class Curation:
    """One `curator run`, begun with `begun`.

    Attributes:
        process: of the driver.
        temporary: its folder for temporary files, nobody else's.
        trace: what it wrote down.
        folders: of its Ray, as far as seen; they go when it ends.
    """

    process: subprocess.Popen[str]
    temporary: Path
    trace: Path
    folders: set[str] = field(default_factory=lambda: set())

    def steps(self) -> list[Step]:
        """What it wrote down so far; a line that is being written is left out."""
        text = self.trace.read_text() if self.trace.exists() else ""
        return [Step(*json.loads(line)) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def wait_for(self, reached: Callable[[], bool]) -> None:
        """Return when the moment has come."""
        wait_for(self.process, reached, limit_s=LIMIT_S)

    def wait_for_phase(self, phase: str, done: int) -> None:
        """Return when a phase has finished so many items."""
        self.wait_for(lambda: any(step.phase == phase and step.done >= done for step in self.steps()))

    def processes(self) -> set[Process]:
        """Of its Ray."""
        self.folders |= {str(folder) for folder in self.temporary.glob("curator-*")}
        return {process for folder in self.folders for process in processes_of(folder)}

    def pids(self, victim: str) -> list[int]:
        """Processes of its Ray of one kind, in order."""
        found = [process.pid for process in self.processes() if VICTIMS[victim] in _command_line(process.pid)]
        return sorted(found)

    def strike(self, victim: str, choice: int = 0) -> float:
        """SIGKILL the driver, or a process of its Ray; returns when, in seconds of the monotonic clock."""
        pids = [self.process.pid]
        self.processes()
        if victim != "driver":
            self.wait_for(lambda: bool(self.pids(victim)))
            pids = self.pids(victim)
        os.kill(pids[choice % len(pids)], signal.SIGKILL)
        return time.monotonic()

    def end(self) -> tuple[int, str]:
        """Exit code, and all that it printed, once it ended."""
        return ended(self.process, limit_s=LIMIT_S)

    def seconds_until_gone(self, limit_s: float) -> float:
        """Seconds until no process of its Ray is left, nor a file of it; from now on."""
        return wait_until(
            lambda: not self.processes() and not list(self.temporary.glob("curator-*")),
            limit_s=limit_s,
            told=lambda: (
                [_command_line(process.pid)[:120] for process in self.processes()] + list(self.temporary.rglob("*"))[:9]
            ),
            every_s=0.05,
        )


def undisturbed_tables(sources: Path, root: Path, settings: Mapping[str, Any]) -> Tables:
    """The tables of a run in this process, without Ray."""
    curate_here(sources, root, {**settings, "executor.mode": "local"})
    return tables(root)


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


@contextmanager
def begun(sources: Path, root: Path, settings: Mapping[str, Any]) -> Iterator[Curation]:
    """A run that has just been started; ended, and its folder for temporary files removed, with the block."""
    with temporary_folder() as temporary:
        trace = root.parent / f"{root.name}-{temporary.name}.trace"
        given = [str(trace), *arguments(sources, root, settings)]
        process = start(given, module=__name__, env={"TMPDIR": str(temporary)})
        try:
            yield Curation(process, temporary, trace)
        finally:
            process.kill()
            process.communicate()


def main() -> None:
    """The command `curator`, whose progress also goes to a file."""
    trace = sys.argv.pop(1)
    shown = run_and_retry.progress_display

    @contextmanager
    def traced(console: Console) -> Iterator[ProgressCallback]:
        with shown(console) as report, open(trace, "a", buffering=1) as log:

            def both(progress: Progress) -> None:
                log.write(json.dumps([progress.phase, progress.done, progress.total, time.monotonic()]) + "\n")
                report(progress)

            yield both

    run_and_retry.progress_display = traced
    cli.main()
