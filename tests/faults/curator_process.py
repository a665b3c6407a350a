"""Runs `curator run` in a subprocess that logs its progress, for tests that kill a process at a chosen moment.

The subprocess takes the arguments TRACE run SOURCE --root ROOT ..., and appends its progress to the file TRACE. While a
file TRACE.hold exists, which names a phase and a number of items, it stops at that point; a test that kills a process
there hits the phase however late the test itself gets a core.
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
from stages.run import Progress, session
from tests.faults.command import arguments, curate_in_process, running_process, wait_for_exit
from tests.faults.tables import Tables, tables
from tests.faults.temporary_folder import temporary_folder
from tests.faults.waiting import wait_for, wait_until

COMMAND_LINE_OF = {"raylet": "raylet/raylet", "gcs_server": "gcs/gcs_server", "worker": "ray::Worker"}
"""By kind of Ray process, the text by which its command line is recognised."""


@dataclass(frozen=True)
class ProgressStep:
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


def done_by_phase(steps: list[ProgressStep]) -> dict[str, int]:
    """Number of items that a run finished, by phase; the passes of a phase are added up, as each counts from 0."""
    done: dict[str, int] = {}
    last_done: dict[str, int] = {}
    for step in steps:
        last = last_done.get(step.phase, 0)
        done[step.phase] = done.get(step.phase, 0) + (step.done - last if step.done >= last else step.done)
        last_done[step.phase] = step.done
    return done


@dataclass
class CuratorProcess:
    """One `curator run`, started by `running_curator`.

    Attributes:
        process: the driver.
        temporary: folder for temporary files that only this run uses.
        trace: file that the driver logs its progress to.
        folders: folders of the run's private Ray that were seen so far; they are removed when the run ends.
        tree: root of the process tree whose CPU time is progress, where workers are no descendants of the driver.
    """

    process: subprocess.Popen[str]
    temporary: Path
    trace: Path
    folders: set[str] = field(default_factory=lambda: set())
    tree: int | None = None

    def steps(self) -> list[ProgressStep]:
        """The logged progress so far, without an unfinished last line."""
        text = self.trace.read_text() if self.trace.exists() else ""
        return [ProgressStep(*json.loads(line)) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds; the test fails if the run ends first."""
        wait_for(self.process, condition, tree=self.tree)

    @contextmanager
    def held_in(self, phase: str, done: int) -> Iterator[None]:
        """Hold the driver where a phase has finished at least `done` items, 1 or more; the workers go on."""
        hold = _hold_file(self.trace)
        part = hold.with_suffix(".part")
        part.write_text(json.dumps([phase, done]))
        part.replace(hold)
        try:
            self.wait_for(lambda: any(step.phase == phase and step.done >= done for step in self.steps()))
            yield
        finally:
            hold.unlink()

    def processes(self) -> set[Process]:
        """The processes of the run's private Ray."""
        self.folders |= {str(folder) for folder in self.temporary.glob("curator-*")}
        return {process for folder in self.folders for process in processes_of(folder)}

    def pids(self, kind: str) -> list[int]:
        """Process ids of the run's Ray processes of one kind, in ascending order."""
        found = [process.pid for process in self.processes() if COMMAND_LINE_OF[kind] in _command_line(process.pid)]
        return sorted(found)

    def kill(self, target: str, choice: int = 0) -> float:
        """SIGKILL the driver or one process of its Ray; return the time of the kill, as the monotonic clock shows it.

        Args:
            target: "driver", or a kind of process in `COMMAND_LINE_OF`.
            choice: which of several such processes.
        """
        pids = [self.process.pid]
        self.processes()
        if target != "driver":
            self.wait_for(lambda: bool(self.pids(target)))
            pids = self.pids(target)
        os.kill(pids[choice % len(pids)], signal.SIGKILL)
        return time.monotonic()

    def wait_for_exit(self) -> tuple[int, str]:
        """Wait for the end of the run; return its exit code and its whole output."""
        return wait_for_exit(self.process, tree=self.tree)

    def seconds_until_gone(self) -> float:
        """Wait until the run's Ray has left neither a process nor a file; return the seconds that this took."""
        return wait_until(
            lambda: not self.processes() and not list(self.temporary.glob("curator-*")),
            describe=lambda: (
                [_command_line(process.pid)[:120] for process in self.processes()] + list(self.temporary.rglob("*"))[:9]
            ),
            interval_s=0.1,
        )


def reference_tables(sources: Path, root: Path, settings: Mapping[str, Any], *, until: str = "dataset") -> Tables:
    """The tables of a run without faults, made in this process without Ray."""
    curate_in_process(sources, root, {**settings, "executor.mode": "local"}, until=until)
    return tables(root)


def _hold_file(trace: Path) -> Path:
    return trace.with_name(f"{trace.name}.hold")


def _wait_while_held(hold: Path, progress: Progress) -> None:
    """Wait while the file of a hold that this progress has reached exists."""
    while hold.exists():
        try:
            phase, done = json.loads(hold.read_text())
        except FileNotFoundError:  # removed since
            return
        if progress.phase != phase or progress.done < done:
            return
        time.sleep(0.005)


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


@contextmanager
def running_curator(
    sources: Path, root: Path, settings: Mapping[str, Any], *, until: str = "dataset"
) -> Iterator[CuratorProcess]:
    """Start a run; at the end of the block it is killed, and its folder for temporary files is removed."""
    with temporary_folder() as temporary:
        trace = root.parent / f"{root.name}-{temporary.name}.trace"
        command = [str(trace), *arguments(sources, root, settings, until=until)]
        with running_process(command, module=__name__, env={"TMPDIR": str(temporary)}) as process:
            yield CuratorProcess(process, temporary, trace)


def main() -> None:
    """Run the command `curator` and also log its progress to a file."""
    trace = sys.argv.pop(1)
    session.PROGRESS_INTERVAL_S = 0.0  # every item, so that a test can hold the run at any
    original_display = run_and_retry.progress_display

    @contextmanager
    def logging_display(console: Console) -> Iterator[ProgressCallback]:
        with original_display(console) as report, open(trace, "a", buffering=1) as log:

            def log_and_report(progress: Progress) -> None:
                log.write(json.dumps([progress.phase, progress.done, progress.total, time.monotonic()]) + "\n")
                _wait_while_held(_hold_file(Path(trace)), progress)
                report(progress)

            yield log_and_report

    run_and_retry.progress_display = logging_display
    cli.main()
