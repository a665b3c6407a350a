"""Waiting for what another process brings about, and never for ever."""

import subprocess
import time
from collections.abc import Callable
from typing import Any


def wait_until(
    reached: Callable[[], bool], *, limit_s: float, told: Callable[[], object], every_s: float = 0.02
) -> float:
    """Return once it holds, with the seconds that it took.

    Args:
        reached: is asked again and again.
        limit_s: after so many seconds the test fails.
        told: what it then says of how things stand.
        every_s: seconds between two questions.
    """
    began = time.monotonic()
    while not reached():
        assert time.monotonic() - began < limit_s, f"did not come about within {limit_s:g} s: {told()}"
        time.sleep(every_s)
    return time.monotonic() - began


def wait_for(process: subprocess.Popen[Any], reached: Callable[[], bool], *, limit_s: float) -> float:
    """As `wait_until`; a process that ends before fails the test with what it printed."""

    def is_reached() -> bool:
        if reached():
            return True
        assert process.poll() is None, f"the process ended before: {process.communicate()}"
        return False

    return wait_until(is_reached, limit_s=limit_s, told=lambda: process.args)
