"""Calls of a few sizes: doubled while memory takes it, halved where it does not, and the same vectors in any case."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stages.models.device_batches import DeviceBatches, padded_count


class Device:
    """A model whose vectors are sums, on a device with memory for so many units."""

    def __init__(self, capacity: int, error: Callable[[str], Exception] = torch.OutOfMemoryError) -> None:
        self.capacity, self.error = capacity, error
        self.calls: list[int] = []

    def __call__(self, units: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.calls.append(len(units))
        if len(units) > self.capacity:
            raise self.error("CUDA out of memory")
        return units.reshape(len(units), 2, -1).sum(2, dtype=np.float32)


def units(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(count).integers(0, 256, (count, 4, 6, 3), np.uint8)


def expected(given: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.stack([[unit[:2].sum(), unit[2:].sum()] for unit in given]).astype(np.float32)


def test_size_doubles_up_to_the_largest() -> None:
    device = Device(1000)
    batches = DeviceBatches(device, first=8, largest=40)
    np.testing.assert_array_equal(batches.run([units(100)]), expected(units(100)))
    assert device.calls == [8, 16, 32, 40, 4]
    batches.run([units(40)])
    assert device.calls[5:] == [40]


def test_size_stays_below_what_memory_took_and_no_unit_is_lost() -> None:
    device = Device(20)
    released: list[int] = []
    batches = DeviceBatches(device, first=8, largest=512, release=lambda: released.append(len(device.calls)))
    np.testing.assert_array_equal(batches.run([units(100)]), expected(units(100)))
    assert device.calls == [8, 16, 32, 16, 16, 16, 16, 16]
    assert released == [3]
    batches.run([units(64)])
    assert max(device.calls[8:]) == 16


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError, MemoryError, lambda text: RuntimeError("DefaultCPUAllocator")]
)
def test_memory_of_every_kind_counts(error: Callable[[str], Exception]) -> None:
    np.testing.assert_array_equal(
        DeviceBatches(Device(3, error), first=8, largest=8).run([units(9)]), expected(units(9))
    )


def test_a_unit_too_large_alone_and_other_errors_are_raised() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        DeviceBatches(Device(0), first=8, largest=8).run([units(9)])
    device = Device(4, ValueError)
    with pytest.raises(ValueError, match="CUDA out of memory"):
        DeviceBatches(device, first=8, largest=8).run([units(9)])
    assert device.calls == [8]


@given(count=st.integers(1, 70), first=st.integers(1, 9), largest=st.integers(1, 40), capacity=st.integers(1, 50))
def test_vectors_are_the_same_whatever_the_sizes(count: int, first: int, largest: int, capacity: int) -> None:
    device = Device(capacity)
    batches = DeviceBatches(device, first=first, largest=largest)
    parts = np.split(units(count), sorted({0, count // 3, count // 2, count - 1} - {0}))
    np.testing.assert_array_equal(batches.run(parts), expected(units(count)))
    np.testing.assert_array_equal(batches.run([units(count)]), expected(units(count)))
    assert max(device.calls) <= largest


@pytest.mark.parametrize(("count", "size", "shape"), [(1, 8, 1), (3, 8, 4), (5, 8, 8), (8, 8, 8), (9, 12, 12)])
def test_a_last_call_is_filled_up_to_a_power_of_two(count: int, size: int, shape: int) -> None:
    assert padded_count(count, size) == shape
