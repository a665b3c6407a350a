"""Runs `curator run` in a subprocess that logs its progress, for tests that kill a process at a chosen moment.

The subprocess takes the arguments TRACE run SOURCE --root ROOT ..., and appends its progress to the file TRACE.
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
from tests.faults.command import arguments, curate_here, ended, started
from tests.faults.tables import Tables, tables
from tests.faults.temporary_folder import temporary_folder
from tests.faults.waiting import wait_for, wait_until

VICTIMS = {"raylet": "raylet/raylet", "gcs_server": "gcs/gcs_server", "worker": "ray::Worker"}
"""By kind of Ray process, the text by which its command line is recognised."""


@dataclass(frozen=True)
class Step:
    """The progress of a phase at one moment.

    Attributes:
        phase: name of the phase.
        done: number of items whose rows are computed.
        total: number of items.
        at_s: time of the report, in seconds of the monotonic clock, which all processes share.
    """

    phase: str
    done: int
    total: int
    at_s: float


def done_by_phase(steps: list[Step]) -> dict[str, int]:
    """Number of items that a run finished, by phase; the passes of a phase are added up, as each counts from 0."""
    done: dict[str, int] = {}
    before: dict[str, int] = {}
    for step in steps:
        last = before.get(step.phase, 0)
        done[step.phase] = done.get(step.phase, 0) + (step.done - last if step.done >= last else step.done)
        before[step.phase] = step.done
    return done


@dataclass
class Curation:
    """One `curator run`, started by `begun`.

    Attributes:
        process: the driver.
        temporary: folder for temporary files that only this run uses.
        trace: file that the driver logs its progress to.
        folders: folders of the run's private Ray that were seen so far; they are removed when the run ends.
    """

    process: subprocess.Popen[str]
    temporary: Path
    trace: Path
    folders: set[str] = field(default_factory=lambda: set())

    def steps(self) -> list[Step]:
        """The logged progress so far, without an unfinished last line."""
        text = self.trace.read_text() if self.trace.exists() else ""
        return [Step(*json.loads(line)) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def wait_for(self, reached: Callable[[], bool]) -> None:
        """Wait until `reached` returns true; the test fails if the run ends first."""
        wait_for(self.process, reached)

    def wait_for_phase(self, phase: str, done: int) -> None:
        """Wait until a phase has finished at least `done` items."""
        self.wait_for(lambda: any(step.phase == phase and step.done >= done for step in self.steps()))

    def processes(self) -> set[Process]:
        """The processes of the run's private Ray."""
        self.folders |= {str(folder) for folder in self.temporary.glob("curator-*")}
        return {process for folder in self.folders for process in processes_of(folder)}

    def pids(self, victim: str) -> list[int]:
        """Process ids of the run's Ray processes of one kind, in ascending order."""
        found = [process.pid for process in self.processes() if VICTIMS[victim] in _command_line(process.pid)]
        return sorted(found)

    def strike(self, victim: str, choice: int = 0) -> float:
        """SIGKILL the driver, or one process of its Ray; return the time in seconds of the monotonic clock."""
        pids = [self.process.pid]
        self.processes()
        if victim != "driver":
            self.wait_for(lambda: bool(self.pids(victim)))
            pids = self.pids(victim)
        os.kill(pids[choice % len(pids)], signal.SIGKILL)
        return time.monotonic()

    def end(self) -> tuple[int, str]:
        """Wait for the end of the run; return its exit code and its whole output."""
        return ended(self.process)

    def seconds_until_gone(self) -> float:
        """Wait until the run's Ray has left neither a process nor a file; return the seconds that this took."""
        return wait_until(
            lambda: not self.processes() and not list(self.temporary.glob("curator-*")),
            told=lambda: (
                [_command_line(process.pid)[:120] for process in self.processes()] + list(self.temporary.rglob("*"))[:9]
            ),
            every_s=0.1,
        )


def undisturbed_tables(sources: Path, root: Path, settings: Mapping[str, Any]) -> Tables:
    """The tables of a run without faults, made in this process without Ray."""
    curate_here(sources, root, {**settings, "executor.mode": "local"})
    return tables(root)


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


@contextmanager
def begun(sources: Path, root: Path, settings: Mapping[str, Any]) -> Iterator[Curation]:
    """Start a run; at the end of the block it is killed, and its folder for temporary files is removed."""
    with temporary_folder() as temporary:
        trace = root.parent / f"{root.name}-{temporary.name}.trace"
        given = [str(trace), *arguments(sources, root, settings)]
        with started(given, module=__name__, env={"TMPDIR": str(temporary)}) as process:
            yield Curation(process, temporary, trace)


def main() -> None:
    """Run the command `curator` and also log its progress to a file."""
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
