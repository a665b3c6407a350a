"""The clock of a simulated cluster, which goes on by what the scheduler computes and would spend inside Ray."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


class Clock:
    """The time of the simulation, in seconds."""

    def __init__(self) -> None:
        self.simulated_s = 0.0
        self._counted_cpu_s = time.process_time()
        self.driver_cpu_s = 0.0
        self.ray_cpu_s = 0.0

    def monotonic(self) -> float:
        """Now, without the CPU time since the last `tick`."""
        return self.simulated_s

    def tick(self) -> None:
        """Let the time pass that the scheduler has computed since `resume`."""
        used_s = time.process_time() - self._counted_cpu_s
        self.driver_cpu_s += used_s
        self.simulated_s += used_s

    def resume(self) -> None:
        """Count CPU time as that of the scheduler from now on: what the simulation took is left out."""
        self._counted_cpu_s = time.process_time()

    def spend(self, seconds: float) -> None:
        """Let the CPU time pass that the scheduler would spend inside Ray."""
        self.driver_cpu_s += seconds
        self.ray_cpu_s += seconds
        self.simulated_s += seconds

    @contextmanager
    def standing(self) -> Iterator[None]:
        """Leave out what the block takes."""
        self.tick()
        yield
        self.resume()


@dataclass(frozen=True)
class RayCosts:
    """CPU time that a driver spends inside Ray, in seconds, as `benchmarks/driver.py ray` measures it.

    Attributes:
        start: of the start of an actor.
        call: of a call of an actor, with its answer.
        wait: of waiting, for each call that is waited for.
    """

    start: float = 0.0
    call: float = 0.0
    wait: float = 0.0


@dataclass(eq=False, slots=True)
class Answer:
    """The answer to a call, which comes at a time. In place of an object reference."""

    at_s: float
    value: Any = None
    is_there: bool = False
