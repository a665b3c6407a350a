"""Waits for the effect of another process, bounded by its progress instead of a total time.

A total time limit would fail on a loaded machine, which may need many times as long. A wait fails the test once there
was no progress for `STILL_S`; pytest's own timeout ends a test whose process is busy but never finishes.
"""

import subprocess
import time
from collections.abc import Callable
from typing import Any

from tests.faults.cpu_time import CpuTime

STILL_S = 120.0
"""Seconds without progress after which a test fails; long enough for a process that competes with many for the CPU."""
LEAST_CPU_SHARE = 0.08
"""Share of a core; a process tree that uses less makes no progress. An idle Ray uses half of that."""
LOOK_EVERY_S = 1.0


class Stillness:
    """Measures the time since the last progress.

    Args:
        told: returns the current state; a change of the state is progress.
        pid: root of a process tree whose CPU time is progress too.
    """

    def __init__(self, told: Callable[[], object], pid: int | None = None) -> None:
        self._told = told
        self._cpu_time = None if pid is None else CpuTime(pid)
        self._stands = repr(told())
        self._used_s = self._cpu_time.seconds() if self._cpu_time else 0.0
        self._moved_at = self._looked_at = time.monotonic()

    def check(self) -> None:
        """Fail the test if there was no progress for `STILL_S`. Looks at most once in `LOOK_EVERY_S`."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = now
        stands, used_s = repr(self._told()), self._cpu_time.seconds() if self._cpu_time else 0.0
        if stands != self._stands or used_s - self._used_s > LEAST_CPU_SHARE * STILL_S:
            self._stands, self._used_s, self._moved_at = stands, used_s, now
        still_s = now - self._moved_at
        assert still_s < STILL_S, f"nothing moved for {still_s:.0f} s ({used_s - self._used_s:.1f} s of CPU): {stands}"


def wait_until(
    reached: Callable[[], bool], *, told: Callable[[], object], pid: int | None = None, every_s: float = 0.02
) -> float:
    """Wait until a condition holds; return the seconds that this took.

    Args:
        reached: the condition, which is polled.
        told: returns the current state, which is part of the failure's message; the wait goes on while it changes.
        pid: root of a process tree that brings the condition about; the wait goes on while the tree uses CPU time.
        every_s: seconds between two polls.
    """
    began, stillness = time.monotonic(), Stillness(told, pid)
    while not reached():
        stillness.check()
        time.sleep(every_s)
    return time.monotonic() - began


def wait_for(process: subprocess.Popen[Any], reached: Callable[[], bool]) -> float:
    """As `wait_until`; if the process ends before the condition holds, the test fails with the process's output."""

    def is_reached() -> bool:
        if reached():
            return True
        assert process.poll() is None, f"the process ended before: {process.communicate()}"
        return False

    return wait_until(is_reached, told=lambda: process.args, pid=process.pid)


def wait_for_end(process: subprocess.Popen[Any]) -> tuple[Any, Any]:
    """Wait for the end of a process; return its stdout and stderr. The test fails if the process makes no progress."""
    stillness = Stillness(lambda: process.args, process.pid)
    while True:
        try:
            return process.communicate(timeout=LOOK_EVERY_S)
        except subprocess.TimeoutExpired:
            stillness.check()


def stopped(process: subprocess.Popen[Any]) -> None:
    """Send SIGTERM and wait for the end of the process. If it does not end, it is killed and the test fails."""
    process.terminate()
    try:
        wait_for_end(process)
    finally:
        process.kill()
        process.wait()


def finished(command: list[Any], *, check: bool = True, **popen: Any) -> subprocess.CompletedProcess[str]:
    """Run a command; return its output and exit code. It is killed if it makes no progress, or on an interrupt."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **{**pipes, **popen}) as process:
        try:
            out, err = wait_for_end(process)
        finally:
            process.kill()
    assert not check or process.returncode == 0, f"{command} ended with {process.returncode}: {out}{err}"
    return subprocess.CompletedProcess(command, process.returncode, out, err)
