"""Products on a device are those of numpy, to less than the margin of a search."""

import numpy as np
import pytest

from stages.dedup.device import multiply, multiply_on_cpu, use_device
from stages.dedup.similarity import MARGIN
from stages.dedup.torch_products import TorchProducts


def unit_vectors(count: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, 768)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda:0", marks=pytest.mark.gpu)])
def test_products_by_torch_are_exact_to_less_than_the_margin(device: str) -> None:
    left, right = unit_vectors(33, 1), unit_vectors(65, 2)
    left.setflags(write=False)  # as a file that is mapped
    exact = left.astype(np.float64) @ right.astype(np.float64).T
    assert np.abs(TorchProducts(device)(left, right) - exact).max() < MARGIN / 5
    assert np.abs(multiply_on_cpu(left, right) - exact).max() < MARGIN / 5


def test_cpu_multiplies_with_numpy() -> None:
    use_device("cpu")
    left, right = unit_vectors(3, 1), unit_vectors(5, 2)
    np.testing.assert_array_equal(multiply(left, right), left @ right.T)
