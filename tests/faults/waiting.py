"""Waits for the effect of another process, bounded by its progress instead of a total time.

A total time limit would fail on a loaded machine, which may need many times as long. A wait fails the test once there
was no progress for `STALL_TIMEOUT_S`; pytest's own timeout ends a test whose process is busy but never finishes.
"""

import subprocess
import time
from collections.abc import Callable
from typing import Any

from tests.faults.cpu_time import CpuTime

STALL_TIMEOUT_S = 120.0
"""Seconds without progress after which a test fails; long enough for a process that competes with many for the CPU."""
MIN_CPU_SHARE = 0.08
"""Share of a core; a process tree that uses less makes no progress. An idle Ray uses half of that."""
CHECK_INTERVAL_S = 1.0


class StallDetector:
    """Measures the time since the last progress.

    Args:
        describe: returns the current state; a change of the state is progress.
        pid: root of a process tree whose CPU time is progress too.
    """

    def __init__(self, describe: Callable[[], object], pid: int | None = None) -> None:
        self._describe = describe
        self._cpu_time = None if pid is None else CpuTime(pid)
        self._state = repr(describe())
        self._cpu_s = self._cpu_time.seconds() if self._cpu_time else 0.0
        self._progress_at = self._checked_at = time.monotonic()

    def check(self) -> None:
        """Fail the test if there was no progress for `STALL_TIMEOUT_S`. Checks at most once in `CHECK_INTERVAL_S`."""
        now = time.monotonic()
        if now - self._checked_at < CHECK_INTERVAL_S:
            return
        self._checked_at = now
        state, cpu_s = repr(self._describe()), self._cpu_time.seconds() if self._cpu_time else 0.0
        if state != self._state or cpu_s - self._cpu_s > MIN_CPU_SHARE * STALL_TIMEOUT_S:
            self._state, self._cpu_s, self._progress_at = state, cpu_s, now
        stalled_s = now - self._progress_at
        used_s = cpu_s - self._cpu_s
        assert stalled_s < STALL_TIMEOUT_S, f"nothing moved for {stalled_s:.0f} s ({used_s:.1f} s of CPU): {state}"


def wait_until(
    condition: Callable[[], bool], *, describe: Callable[[], object], pid: int | None = None, interval_s: float = 0.02
) -> float:
    """Wait until a condition holds; return the seconds that this took.

    Args:
        condition: the condition, which is polled.
        describe: returns the current state, which is part of the failure's message; the wait goes on while it changes.
        pid: root of a process tree that brings the condition about; the wait goes on while the tree uses CPU time.
        interval_s: seconds between two polls.
    """
    started, stall_detector = time.monotonic(), StallDetector(describe, pid)
    while not condition():
        stall_detector.check()
        time.sleep(interval_s)
    return time.monotonic() - started


def wait_for(process: subprocess.Popen[Any], condition: Callable[[], bool], *, tree: int | None = None) -> float:
    """As `wait_until`; if the process ends before the condition holds, the test fails with the process's output.

    Args:
        process: brings the condition about.
        condition: the condition, which is polled.
        tree: root of the process tree whose CPU time is progress; of the process itself where it is not given.
    """

    def is_met() -> bool:
        if condition():
            return True
        assert process.poll() is None, f"the process ended before: {process.communicate()}"
        return False

    return wait_until(is_met, describe=lambda: process.args, pid=tree or process.pid)


def communicate(process: subprocess.Popen[Any], *, tree: int | None = None) -> tuple[Any, Any]:
    """Wait for the end of a process; return its stdout and stderr. The test fails if the process makes no progress.

    For `tree` see `wait_for`.
    """
    stall_detector = StallDetector(lambda: process.args, tree or process.pid)
    while True:
        try:
            return process.communicate(timeout=CHECK_INTERVAL_S)
        except subprocess.TimeoutExpired:
            stall_detector.check()


def terminate(process: subprocess.Popen[Any]) -> None:
    """Send SIGTERM to a process and wait for its end. If it does not end, it is killed and the test fails."""
    process.terminate()
    try:
        communicate(process)
    finally:
        process.kill()
        process.wait()


def run_command(command: list[Any], *, check: bool = True, **popen: Any) -> subprocess.CompletedProcess[str]:
    """Run a command; return its output and exit code. It is killed if it makes no progress, or on an interrupt."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **{**pipes, **popen}) as process:
        try:
            out, err = communicate(process)
        finally:
            process.kill()
    assert not check or process.returncode == 0, f"{command} ended with {process.returncode}: {out}{err}"
    return subprocess.CompletedProcess(command, process.returncode, out, err)
