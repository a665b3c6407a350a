"""Waiting for what another process brings about: as long as anything moves, and never for ever.

No wait ends after a number of seconds, which a machine that does something else too may need many times over. It ends
the test once nothing has moved for `STILL_S`; what moves without getting anywhere, pytest's own timeout ends.
"""

import subprocess
import time
from collections.abc import Callable
from typing import Any

from tests.faults.cpu_time import CpuTime

STILL_S = 120.0
"""A test fails once nothing has moved for so long; a process that competes with many has had its turn by then."""
LEAST_CPU_SHARE = 0.08
"""Of a core: a process tree that uses less does not move. A Ray that has nothing to do uses half of that."""
LOOK_EVERY_S = 1.0


class Stillness:
    """For how long nothing has moved.

    Args:
        told: how things stand; another answer than before is progress.
        pid: of a process whose CPU time, and that of all that it started, is progress too.
    """

    def __init__(self, told: Callable[[], object], pid: int | None = None) -> None:
        self._told = told
        self._cpu_time = None if pid is None else CpuTime(pid)
        self._stands = repr(told())
        self._used_s = self._cpu_time.seconds() if self._cpu_time else 0.0
        self._moved_at = self._looked_at = time.monotonic()

    def check(self) -> None:
        """Fail the test where nothing has moved for too long; looks once a second, however often it is asked."""
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
    """Return once it holds, with the seconds that it took.

    Args:
        reached: is asked again and again.
        told: how things stand, which the test says where it fails; as long as it changes, it is waited on.
        pid: of a process that brings it about; as long as it and what it started work, it is waited on.
        every_s: seconds between two questions.
    """
    began, stillness = time.monotonic(), Stillness(told, pid)
    while not reached():
        stillness.check()
        time.sleep(every_s)
    return time.monotonic() - began


def wait_for(process: subprocess.Popen[Any], reached: Callable[[], bool]) -> float:
    """As `wait_until`; a process that ends before fails the test with what it printed."""

    def is_reached() -> bool:
        if reached():
            return True
        assert process.poll() is None, f"the process ended before: {process.communicate()}"
        return False

    return wait_until(is_reached, told=lambda: process.args, pid=process.pid)


def wait_for_end(process: subprocess.Popen[Any]) -> tuple[Any, Any]:
    """What it printed, to its output and to its errors, once it ended; the test fails where it stands still."""
    stillness = Stillness(lambda: process.args, process.pid)
    while True:
        try:
            return process.communicate(timeout=LOOK_EVERY_S)
        except subprocess.TimeoutExpired:
            stillness.check()


def stopped(process: subprocess.Popen[Any]) -> None:
    """Ask a process to end, and return once it did; the test fails where it does not, and it is ended all the same."""
    process.terminate()
    try:
        wait_for_end(process)
    finally:
        process.kill()
        process.wait()


def finished(command: list[Any], *, check: bool = True, **popen: Any) -> subprocess.CompletedProcess[str]:
    """What a command printed and how it ended; it is ended where it stands still, or the test is interrupted."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **{**pipes, **popen}) as process:
        try:
            out, err = wait_for_end(process)
        finally:
            process.kill()
    assert not check or process.returncode == 0, f"{command} ended with {process.returncode}: {out}{err}"
    return subprocess.CompletedProcess(command, process.returncode, out, err)
